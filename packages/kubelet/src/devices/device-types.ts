/** What device plugins say, as plain data. Source: k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1 */

export interface Device {
  readonly id: string;
  readonly healthy: boolean;
  /** NUMA nodes that it is near to; empty when the plugin does not say. */
  readonly numaNodes: readonly number[];
}

export interface PluginOptions {
  readonly preStartRequired: boolean;
  readonly getPreferredAllocationAvailable: boolean;
}

export interface DeviceMount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
}

export interface DeviceNode {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly permissions: string;
}

/** What a container needs in order to use the devices of one resource that it was given. */
export interface AllocateAnswer {
  readonly envs: Readonly<Record<string, string>>;
  readonly mounts: readonly DeviceMount[];
  readonly devices: readonly DeviceNode[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly cdiDevices: readonly { readonly name: string }[];
}

/** The devices of one resource that one container holds. */
export interface Grant {
  readonly podUid: string;
  readonly container: string;
  readonly resource: string;
  /** By NUMA node; -1 for devices without one. A device that is near to several is listed with each. */
  readonly devices: ReadonlyMap<number, readonly string[]>;
  readonly answer: AllocateAnswer;
}

export const NO_NUMA_NODE = -1;

export function deviceIds(grant: Pick<Grant, "devices">): Set<string> {
  return new Set([...grant.devices.values()].flat());
}

export function byNumaNode(ids: Iterable<string>, device: (id: string) => Device | undefined): Map<number, string[]> {
  const byNode = new Map<number, string[]>();
  for (const id of ids) {
    const nodes = device(id)?.numaNodes ?? [];
    for (const node of nodes.length === 0 ? [NO_NUMA_NODE] : nodes) {
      byNode.set(node, [...(byNode.get(node) ?? []), id]);
    }
  }
  return byNode;
}
