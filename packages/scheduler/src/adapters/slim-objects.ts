/**
 * Pods and nodes with only what scheduling looks at, because a scheduler holds all of them: environments, probes, mounts
 * and statuses of containers are most of a pod. What pods of one template have in common is one object.
 *
 * A field that a plugin is to read must be named here.
 */
import type { Container, ContainerStatus, Node, Pod } from "@knarr/api/generated/types/core-v1.ts";

/** Parts of templates by their JSON; emptied when there are too many to be templates. */
const shared = new Map<string, unknown>();
const MAX_SHARED = 5000;

function share<T>(value: T): T {
  if (value === undefined) return value;
  const key = JSON.stringify(value);
  const known = shared.get(key);
  if (known !== undefined) return known as T;
  if (shared.size >= MAX_SHARED) shared.clear();
  shared.set(key, value);
  return value;
}

export function slimPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  const { name, namespace, uid, labels, resourceVersion, generation, ownerReferences, deletionTimestamp } = metadata;
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      generation,
      deletionTimestamp,
      labels: share(labels),
      ownerReferences: share(ownerReferences?.filter(({ controller }) => controller === true)),
    },
    spec: spec && {
      nodeName: spec.nodeName,
      schedulerName: spec.schedulerName,
      priority: spec.priority,
      preemptionPolicy: spec.preemptionPolicy,
      nodeSelector: share(spec.nodeSelector),
      affinity: share(spec.affinity),
      tolerations: share(spec.tolerations),
      topologySpreadConstraints: share(spec.topologySpreadConstraints),
      overhead: share(spec.overhead),
      resources: share(spec.resources),
      resourceClaims: share(spec.resourceClaims),
      schedulingGates: share(spec.schedulingGates),
      containers: share(spec.containers.map(slimContainer)),
      initContainers: share(spec.initContainers?.map(slimContainer)),
      volumes: share(
        spec.volumes?.filter(
          ({ projected, configMap, secret, emptyDir, downwardAPI }) =>
            (projected ?? configMap ?? secret ?? emptyDir ?? downwardAPI) === undefined,
        ),
      ),
    },
    status: status && {
      phase: status.phase,
      startTime: status.startTime,
      nominatedNodeName: status.nominatedNodeName,
      conditions: status.conditions?.filter(({ type }) => CONDITIONS.has(type)).map((condition) => share(condition)),
      containerStatuses: share(status.containerStatuses?.map(slimStatus)),
      initContainerStatuses: share(status.initContainerStatuses?.map(slimStatus)),
    },
  };
}

const CONDITIONS = new Set(["PodScheduled", "DisruptionTarget", "PodResizePending"]);

function slimContainer({ name, image, resources, ports, restartPolicy }: Container): Container {
  return { name, image, resources, ports, restartPolicy };
}

/** The parts that the type requires and nobody here reads are given as unset. */
function slimStatus({ name, allocatedResources, resources }: ContainerStatus): ContainerStatus {
  return { name, allocatedResources, resources, image: "", imageID: "", ready: false, restartCount: 0 };
}

export function slimNode(node: Node): Node {
  const { metadata, spec, status } = node;
  const { name, uid, labels, annotations, resourceVersion, deletionTimestamp } = metadata;
  return {
    apiVersion: node.apiVersion,
    kind: node.kind,
    metadata: { name, uid, labels, annotations: share(annotations), resourceVersion, deletionTimestamp },
    spec: spec && { unschedulable: spec.unschedulable, taints: share(spec.taints) },
    status: status && {
      allocatable: share(status.allocatable),
      images: status.images?.map(share),
      conditions: status.conditions?.map(({ type, status: state }) => share({ type, status: state })),
    },
  };
}
