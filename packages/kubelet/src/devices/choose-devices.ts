/**
 * Which devices a container gets. Pure: the plugin, which may have a preference, is asked in between by the caller.
 *
 *   planDevices -> "held"      nothing to do: the container has them already
 *               -> "refused"   why it can't have them
 *               -> "choose"    `taken` from the pod's own init containers; `needed` more out of `available`
 *   pickDevices(choose, preferred) -> the devices
 *
 * Source: pkg/kubelet/cm/devicemanager/manager.go, devicesToAllocate; the wording is upstream's
 */

export interface DeviceDemand {
  readonly podUid: string;
  readonly container: string;
  readonly resource: string;
  readonly required: number;
  /** What the container holds already; undefined: it was never given any. */
  readonly held: ReadonlySet<string> | undefined;
  /** Healthy devices in the plugin's order; undefined: no plugin ever registered the resource. */
  readonly healthy: readonly string[] | undefined;
  /** Devices of init containers of the same pod that have ended when this container runs. */
  readonly reusable: ReadonlySet<string>;
  /** Devices that any container holds, or is about to. */
  readonly inUse: ReadonlySet<string>;
}

export interface DeviceChoice {
  readonly kind: "choose";
  readonly taken: readonly string[];
  readonly needed: number;
  readonly available: readonly string[];
}

export type DevicePlan = { readonly kind: "held" } | { readonly kind: "refused"; readonly why: string } | DeviceChoice;

export function planDevices(demand: DeviceDemand): DevicePlan {
  const { podUid, container, resource, required, held, healthy, reusable, inUse } = demand;
  const refused = (why: string) => ({ kind: "refused", why }) as const;
  if (held !== undefined && held.size !== required) {
    const whose = `pod "${podUid}" container "${container}"`;
    return refused(`${whose} changed request for resource "${resource}" from ${held.size} to ${required}`);
  }
  if (healthy === undefined) return refused(`cannot allocate unregistered device ${resource}`);
  if (healthy.length === 0) {
    return refused(`no healthy devices present; cannot allocate unhealthy devices ${resource}`);
  }
  if (held !== undefined && !held.isSubsetOf(new Set(healthy))) {
    return refused(`previously allocated devices are no longer healthy; cannot allocate unhealthy devices ${resource}`);
  }
  if (held !== undefined || required === 0) return { kind: "held" };
  const taken = [...reusable].slice(0, required);
  const needed = required - taken.length;
  const available = healthy.filter((id) => !inUse.has(id) && !taken.includes(id));
  if (available.length < needed) {
    const numbers = `Requested: ${needed}, Available: ${available.length}`;
    return refused(`requested number of devices unavailable for ${resource}. ${numbers}`);
  }
  return { kind: "choose", taken, needed, available };
}

/** The plugin's preference counts as far as it names devices that are to be had. */
export function pickDevices({ taken, needed, available }: DeviceChoice, preferred: readonly string[]): string[] {
  const liked = new Set(preferred.filter((id) => available.includes(id)));
  const others = available.filter((id) => !liked.has(id));
  return [...taken, ...[...liked, ...others].slice(0, needed)];
}
