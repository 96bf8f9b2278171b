/**
 * What a Job's podFailurePolicy and successPolicy say. Pure.
 * Source: kubernetes/pkg/controller/job/{pod_failure_policy,success_policy}.go, KEP-3329, KEP-3998
 */
import type {
  Job,
  PodFailurePolicy,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyOnPodConditionsPattern,
} from "@knarr/api/generated/types/batch-v1.ts";
import type { ContainerStatus, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { podCondition } from "../pod-state.ts";
import { type Indexes, parseIndexes } from "./job-indexes.ts";

export type FailureAction = "FailJob" | "FailIndex" | "Ignore" | "Count";

export interface FailureVerdict {
  /** Whether the failure counts towards the limits. */
  readonly counts: boolean;
  /** Of the first rule that matched; undefined when none did. */
  readonly action?: FailureAction;
  /** Why the whole Job fails, for FailJob. */
  readonly message?: string;
}

/** What the first matching rule says about a failed pod. Without a policy or a match, a failure is a failure. */
export function judgeFailure(policy: PodFailurePolicy | undefined, pod: Pod): FailureVerdict {
  for (const [index, rule] of (policy?.rules ?? []).entries()) {
    const cause = rule.onExitCodes === undefined ? undefined : exitCodeCause(rule.onExitCodes, pod);
    const why = cause ?? conditionCause(rule.onPodConditions ?? [], pod);
    if (why === undefined) continue;
    switch (rule.action as FailureAction) {
      case "Ignore":
        return { counts: false, action: "Ignore" };
      case "FailIndex":
        return { counts: true, action: "FailIndex" };
      case "Count":
        return { counts: true, action: "Count" };
      case "FailJob":
        return { counts: true, action: "FailJob", message: `${why} matching FailJob rule at index ${index}` };
      default:
        // An action of a newer API: the next rule may be known.
        continue;
    }
  }
  return { counts: true };
}

function exitCodeCause(requirement: PodFailurePolicyOnExitCodesRequirement, pod: Pod): string | undefined {
  const matches = ({ name, state }: ContainerStatus) => {
    const code = state?.terminated?.exitCode;
    if (code === undefined || code === 0) return false;
    if (requirement.containerName !== undefined && requirement.containerName !== name) return false;
    const listed = requirement.values.includes(code);
    return requirement.operator === "In" ? listed : requirement.operator === "NotIn" && !listed;
  };
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const container = containerStatuses.find(matches) ?? initContainerStatuses.find(matches);
  if (container === undefined) return undefined;
  const code = container.state?.terminated?.exitCode;
  return `Container ${container.name} for pod ${nameOf(pod)} failed with exit code ${code}`;
}

function conditionCause(patterns: readonly PodFailurePolicyOnPodConditionsPattern[], pod: Pod): string | undefined {
  const match = patterns.find(({ type, status = "True" }) => podCondition(pod, type)?.status === status);
  return match === undefined ? undefined : `Pod ${nameOf(pod)} has condition ${match.type}`;
}

const nameOf = ({ metadata }: Pod) => `${metadata.namespace}/${metadata.name}`;

/** Which rule of the success policy the succeeded indexes meet; undefined when none. */
export function metSuccessRule(job: Job, succeeded: Indexes): string | undefined {
  const completions = job.spec?.completions ?? 0;
  for (const [index, { succeededIndexes, succeededCount }] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const required = succeededIndexes === undefined ? undefined : parseIndexes(succeededIndexes, completions);
    const counted = required === undefined ? succeeded : required.intersection(succeeded);
    const needed = succeededCount ?? required?.size;
    if (needed !== undefined && counted.size >= needed) return `Matched rules at index ${index}`;
  }
  return undefined;
}
