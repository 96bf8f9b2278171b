/** Who has what of the node for itself, as the pod-resources API (v1) says it. Pure. Source: k8s.io/kubelet/pkg/apis/podresources/v1 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isSidecar } from "../core/restart-policy.ts";
import { type Device, type Grant, NO_NUMA_NODE } from "../devices/device-types.ts";

export interface ContainerDevices {
  readonly resourceName: string;
  readonly deviceIds: readonly string[];
  readonly topology?: { readonly nodes: readonly { readonly ID: number }[] };
}

export interface ContainerResources {
  readonly name: string;
  readonly devices: readonly ContainerDevices[];
  readonly cpuIds: readonly number[];
}

export interface PodResourcesAnswer {
  readonly name: string;
  readonly namespace: string;
  readonly containers: readonly ContainerResources[];
}

export interface ResourceHolders {
  grantsOf(podUid: string, container: string): readonly Grant[];
  /** Processors that it has alone. */
  cpusOf(podUid: string, container: string): readonly number[];
}

/** One entry for each device and each node that it is near to, as upstream lists them. */
function entry(resourceName: string, id: string, node: number): ContainerDevices {
  const topology = node === NO_NUMA_NODE ? {} : { topology: { nodes: [{ ID: node }] } };
  return { resourceName, deviceIds: [id], ...topology };
}

function devicesOf({ resource, devices }: Grant): ContainerDevices[] {
  return [...devices].flatMap(([node, ids]) => ids.map((id) => entry(resource, id, node)));
}

/** Init containers that end hold nothing for long, and are left out. */
export function podResources(pod: Pod, holders: ResourceHolders): PodResourcesAnswer {
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar);
  return {
    name,
    namespace,
    containers: [...sidecars, ...(pod.spec?.containers ?? [])].map((container) => ({
      name: container.name,
      devices: holders.grantsOf(uid, container.name).flatMap(devicesOf),
      cpuIds: holders.cpusOf(uid, container.name),
    })),
  };
}

/** What there is to give, whoever has it now. */
export function allocatableDevices(healthy: ReadonlyMap<string, readonly Device[]>): ContainerDevices[] {
  return [...healthy].flatMap(([resource, devices]) =>
    devices.flatMap(({ id, numaNodes }) =>
      (numaNodes.length === 0 ? [NO_NUMA_NODE] : numaNodes).map((node) => entry(resource, id, node)),
    ),
  );
}
