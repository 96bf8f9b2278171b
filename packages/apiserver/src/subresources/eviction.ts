/**
 * Deletes a pod if its disruption budget has room, taking one disruption from it.
 * Source: k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go
 */
import { core, policy } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Eviction, PodDisruptionBudget } from "@knarr/api/generated/types/policy-v1.ts";
import { matchesLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { type StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { readBody } from "../http/body.ts";
import { decodeBody } from "../verbs/decode.ts";
import { removeObject } from "../verbs/delete.ts";
import { parseDeleteOptions } from "../verbs/delete-options.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { mutateObject } from "../verbs/mutate.ts";
import { attributesFor, newScope } from "../verbs/pipeline.ts";
import { parseWriteOptions } from "../verbs/write-options.ts";
import { sendSuccess } from "./success.ts";

/** Pods that a budget has let go but that still exist; more means that the disruption controller is stuck. */
const MAX_DISRUPTED_PODS = 2000;

export async function evict(request: ResourceRequest): Promise<void> {
  const { context, env } = request;
  const body = await readBody(context);
  const eviction = decodeBody({ ...policyEviction }, body, context.header("content-type")) as Eviction;
  const named = eviction.metadata?.name;
  if (named !== undefined && named !== "" && named !== request.name) {
    throw statusErrors.badRequest("name in URL does not match name in Eviction object");
  }
  const query = parseWriteOptions(context.query, "CreateOptions");
  const options = parseDeleteOptions(new URLSearchParams(), JSON.stringify(eviction.deleteOptions ?? {}));
  const dryRun = query.dryRun || options.dryRun;
  const attributes = attributesFor(request, "CREATE", newScope(request, dryRun), eviction as KubeObject, undefined);
  await env.admission.admit(attributes);
  await env.admission.validate(attributes);
  const key = { namespace: request.namespace, name: request.name };
  const pod = await env.lookup.get(core.pods, key, { live: true });
  if (pod === undefined) throw statusErrors.notFound({ group: "", resource: "pods" }, request.name);
  if (!ignoresBudget(pod)) {
    const budget = await budgetOf(request, pod);
    if (budget !== undefined && !mayEvictUnhealthy(pod, budget)) {
      await takeDisruption(request, budget, dryRun);
    }
  }
  if (!dryRun) await markDisrupted(request);
  await removeObject(request, { ...options, dryRun, uid: options.uid ?? pod.metadata?.uid });
  await sendSuccess(request);
}

const policyEviction = { group: "policy", version: "v1", resource: "evictions", kind: "Eviction", namespaced: true };

/** Pods that serve nothing may always go. */
function ignoresBudget(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return (
    phase === "Succeeded" || phase === "Failed" || phase === "Pending" || pod.metadata?.deletionTimestamp !== undefined
  );
}

async function budgetOf(request: ResourceRequest, pod: Pod): Promise<PodDisruptionBudget | undefined> {
  const all = await request.env.lookup.list(policy.poddisruptionbudgets, request.namespace);
  const matching = all.filter((budget) => matchesLabelSelector(budget.spec?.selector, pod.metadata?.labels ?? {}));
  if (matching.length > 1) {
    throw statusErrors.unspecified(
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  }
  return matching[0];
}

/** A pod that is not ready may go when the policy says so, or when the budget is met without it. */
function mayEvictUnhealthy(pod: Pod, budget: PodDisruptionBudget): boolean {
  const ready = pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
  if (ready) return false;
  if (budget.spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
  return currentHealthy >= desiredHealthy && desiredHealthy > 0;
}

async function takeDisruption(request: ResourceRequest, budget: PodDisruptionBudget, dryRun: boolean): Promise<void> {
  const { env } = request;
  const at = { namespace: request.namespace, name: budget.metadata?.name ?? "" };
  const change = (current: PodDisruptionBudget): "write" => {
    const status = current.status;
    if ((status?.observedGeneration ?? 0) < (current.metadata?.generation ?? 0)) {
      throw refusal(`The disruption budget ${at.name} is still being processed by the server.`, 10);
    }
    const allowed = status?.disruptionsAllowed ?? 0;
    const forbid = (why: string) =>
      statusErrors.forbidden({ group: "policy", resource: "poddisruptionbudget" }, at.name, why);
    if (allowed < 0) throw forbid("pdb disruptions allowed is negative");
    if (Object.keys(status?.disruptedPods ?? {}).length > MAX_DISRUPTED_PODS) {
      throw forbid("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if (status === undefined || allowed === 0) {
      throw refusal(
        `The disruption budget ${at.name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ` +
          `${status?.currentHealthy ?? 0} currently`,
        0,
      );
    }
    status.disruptionsAllowed = allowed - 1;
    status.disruptedPods = { ...status.disruptedPods, [request.name]: rfc3339Seconds(env.clock.now()) };
    return "write";
  };
  await mutateObject(env.resources.of(policy.poddisruptionbudgets as never), at, change as never, { dryRun });
}

function refusal(cause: string, retryAfterSeconds: number): StatusError {
  const error = statusErrors.tooManyRequests(
    "Cannot evict pod as it would violate the pod's disruption budget.",
    retryAfterSeconds,
  );
  error.status.details = {
    ...(retryAfterSeconds === 0 ? {} : { retryAfterSeconds }),
    causes: [{ reason: "DisruptionBudget", message: cause }],
  };
  return error;
}

/** The condition that tells why the pod will end. Source: KEP-3329 */
async function markDisrupted(request: ResourceRequest): Promise<void> {
  const { env } = request;
  const at = { namespace: request.namespace, name: request.name };
  const change = (pod: Pod): "write" | "keep" => {
    const conditions = pod.status?.conditions ?? [];
    if (conditions.some((c) => c.type === "DisruptionTarget" && c.status === "True")) return "keep";
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "EvictionByEvictionAPI",
      message: "Eviction API: evicting",
      lastTransitionTime: rfc3339Seconds(env.clock.now()),
    };
    pod.status = { ...pod.status, conditions: [...conditions.filter((c) => c.type !== condition.type), condition] };
    return "write";
  };
  await mutateObject(env.resources.of(core.pods as never), at, change as never);
}
