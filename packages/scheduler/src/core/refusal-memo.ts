/**
 * Pods that are alike get the same answer as long as nothing has changed: thousands of pods of one template that fit
 * nowhere cost one cycle and not thousands, and so can't starve the others.
 *
 * Only refusals are remembered, and none that preemption acted on. Differs from upstream, which judges every pod anew.
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Unschedulable } from "./cycle.ts";
import type { PodInfo } from "./pod-info.ts";
import { schedulerNameOf } from "./pod-info.ts";

const MAX_KEPT = 256;

export class RefusalMemo {
  readonly #refusals = new Map<string, Unschedulable>();
  readonly #signatures = new WeakMap<Pod, string>();

  /** Something changed that a cycle may see. */
  forgetAll(): void {
    if (this.#refusals.size > 0) this.#refusals.clear();
  }

  find(info: PodInfo): Unschedulable | undefined {
    if (this.#refusals.size === 0 || !isPlain(info)) return undefined;
    return this.#refusals.get(this.#signature(info));
  }

  remember(info: PodInfo, refused: Unschedulable): void {
    if (!isPlain(info) || refused.postFilter?.plan !== undefined) return;
    if (this.#refusals.size >= MAX_KEPT) this.#refusals.clear();
    this.#refusals.set(this.#signature(info), refused);
  }

  #signature({ pod }: PodInfo): string {
    let signature = this.#signatures.get(pod);
    if (signature === undefined) {
      signature = signatureOf(pod);
      this.#signatures.set(pod, signature);
    }
    return signature;
  }
}

/** Volumes and nominations make a pod's case its own. */
function isPlain({ pod, claims }: PodInfo): boolean {
  return claims.length === 0 && (pod.status?.nominatedNodeName ?? "") === "";
}

function signatureOf(pod: Pod): string {
  const { spec, metadata } = pod;
  const shared = (spec?.volumes ?? []).filter(
    ({ projected, configMap, secret, emptyDir, downwardAPI }) =>
      (projected ?? configMap ?? secret ?? emptyDir ?? downwardAPI) === undefined,
  );
  const parts = (containers: NonNullable<Pod["spec"]>["containers"] | undefined) =>
    containers?.map(({ resources, ports, restartPolicy, image }) => [resources, ports, restartPolicy, image]);
  return JSON.stringify([
    [schedulerNameOf(pod), metadata.namespace, metadata.labels, spec?.nodeName, spec?.priority, spec?.preemptionPolicy],
    [spec?.nodeSelector, spec?.affinity, spec?.tolerations, spec?.topologySpreadConstraints, spec?.overhead],
    [parts(spec?.containers), parts(spec?.initContainers), spec?.resources, spec?.resourceClaims, shared],
    metadata.ownerReferences?.map(({ uid }) => uid),
  ]);
}
