/**
 * Taints and tolerations, as the scheduler, the DaemonSet controller, taint eviction and the kubelet's admission judge them.
 * Source: k8s.io/component-helpers/scheduling/corev1, kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration
 */
import type { Taint, Toleration } from "@knarr/api/generated/types/core-v1.ts";

export const TaintEffect = {
  NoSchedule: "NoSchedule",
  PreferNoSchedule: "PreferNoSchedule",
  NoExecute: "NoExecute",
} as const;
export type TaintEffect = (typeof TaintEffect)[keyof typeof TaintEffect];

/** An empty key with Exists tolerates every taint; an empty effect every effect. */
export function toleratesTaint(toleration: Toleration, taint: Taint): boolean {
  if ((toleration.effect ?? "") !== "" && toleration.effect !== taint.effect) return false;
  if ((toleration.key ?? "") !== "" && toleration.key !== taint.key) return false;
  switch (toleration.operator ?? "Equal") {
    case "":
    case "Equal":
      return (toleration.key ?? "") !== "" && (toleration.value ?? "") === (taint.value ?? "");
    case "Exists":
      return true;
    case "Gt":
      return compareIntegers(taint.value, toleration.value, (a, b) => a > b);
    case "Lt":
      return compareIntegers(taint.value, toleration.value, (a, b) => a < b);
    default:
      return false;
  }
}

/** KEP-5471: numeric tolerations compare 64-bit integers; anything else tolerates nothing. */
function compareIntegers(
  taintValue: string | undefined,
  tolerationValue: string | undefined,
  holds: (a: bigint, b: bigint) => boolean,
): boolean {
  const integer = /^-?(0|[1-9]\d*)$/;
  if (!integer.test(taintValue ?? "") || !integer.test(tolerationValue ?? "")) return false;
  return holds(BigInt(taintValue ?? ""), BigInt(tolerationValue ?? ""));
}

/** The first taint with one of `effects` that no toleration covers. */
export function findUntoleratedTaint(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly TaintEffect[],
): Taint | undefined {
  return taints?.find(
    (taint) =>
      (effects as readonly string[]).includes(taint.effect) &&
      !(tolerations ?? []).some((toleration) => toleratesTaint(toleration, taint)),
  );
}
