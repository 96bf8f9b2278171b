/**
 * A pod's resources as a whole, as its status shows them: what its containers ask for together, or what it asks for itself.
 * Every pod has them since 1.36. Pure; amounts stay quantities, in the form that they were written in.
 * Source: KEP-5419, k8s.io/component-helpers/resource/helpers.go (PodRequests, PodLimits)
 */
import type { Container, Pod, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { addQuantities, compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { isSidecar } from "./restart-policy.ts";

type Amounts = Record<string, string>;
type Kind = "requests" | "limits";

/** `pod` with the resources that it was granted. */
export function podLevelResources(pod: Pod): Pick<PodStatus, "allocatedResources" | "resources"> {
  const [requests, limits] = [totalOf(pod, "requests"), totalOf(pod, "limits")];
  if (isEmpty(requests) && isEmpty(limits)) return {};
  return {
    ...(isEmpty(requests) ? {} : { allocatedResources: requests }),
    resources: { ...(isEmpty(limits) ? {} : { limits }), ...(isEmpty(requests) ? {} : { requests }) },
  };
}

const isEmpty = (amounts: Amounts) => Object.keys(amounts).length === 0;

function totalOf(pod: Pod, kind: Kind): Amounts {
  const amountsOf = (c: Container): Amounts => c.resources?.[kind] ?? {};
  let total: Amounts = {};
  for (const container of pod.spec?.containers ?? []) total = plus(total, amountsOf(container));
  // Init containers run one after the other, beside the sidecars started before.
  let sidecars: Amounts = {};
  let peak: Amounts = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const amounts = amountsOf(container);
    if (isSidecar(container)) {
      total = plus(total, amounts);
      sidecars = plus(sidecars, amounts);
      peak = larger(peak, sidecars);
    } else peak = larger(peak, plus(amounts, sidecars));
  }
  total = larger(total, peak);
  for (const [name, amount] of Object.entries(pod.spec?.resources?.[kind] ?? {})) total[name] = amount;
  for (const [name, amount] of Object.entries(pod.spec?.overhead ?? {})) {
    // What has no limit gets none by its overhead.
    if (kind === "requests" || total[name] !== undefined) total = plus(total, { [name]: amount });
  }
  return total;
}

function plus(a: Amounts, b: Amounts): Amounts {
  const sum = { ...a };
  for (const [name, amount] of Object.entries(b)) {
    const has = sum[name];
    sum[name] = has === undefined ? amount : addQuantities(has, amount);
  }
  return sum;
}

function larger(a: Amounts, b: Amounts): Amounts {
  const most = { ...a };
  for (const [name, amount] of Object.entries(b)) {
    const has = most[name];
    if (has === undefined || compareQuantities(amount, has) > 0) most[name] = amount;
  }
  return most;
}
