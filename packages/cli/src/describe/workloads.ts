/** Workloads of apps/v1, batch/v1 and the core's ReplicationController. Source: kubectl/pkg/describe (layout). */
import { apps, core } from "@knarr/api/generated/resources.ts";
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { CronJob, Job } from "@knarr/api/generated/types/batch-v1.ts";
import type { Pod, ReplicationController } from "@knarr/api/generated/types/core-v1.ts";
import { humanDuration } from "@knarr/api/human-duration.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf, type KubeObject } from "@knarr/apimachinery/object.ts";
import { describeTime } from "./describe-time.ts";
import { type Description, selectorText } from "./description.ts";
import type { DescribeContext } from "./index.ts";
import { describeTemplate } from "./pod.ts";

const REVISION = "deployment.kubernetes.io/revision";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | undefined;
}

function conditionsWithReason(out: Description, conditions: readonly Condition[] | undefined): void {
  if (conditions === undefined || conditions.length === 0) return;
  out.line(0, "Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------");
  for (const { type, status, reason = "" } of conditions) out.line(1, `${type} \t${status}\t${reason}`);
}

export async function describeDeployment(
  out: Description,
  deployment: Deployment,
  context: DescribeContext,
): Promise<void> {
  const { metadata, spec, status } = deployment;
  out.head(deployment, ["namespace", "created", "labels", "annotations"]);
  out.field(0, "Selector", selectorText(spec?.selector));
  out.field(
    0,
    "Replicas",
    `${spec?.replicas ?? 1} desired | ${status?.updatedReplicas ?? 0} updated | ${status?.replicas ?? 0} total | ` +
      `${status?.availableReplicas ?? 0} available | ${status?.unavailableReplicas ?? 0} unavailable`,
  );
  out.field(0, "StrategyType", spec?.strategy?.type);
  out.field(0, "MinReadySeconds", spec?.minReadySeconds ?? 0);
  const rolling = spec?.strategy?.rollingUpdate;
  if (rolling !== undefined) {
    out.field(0, "RollingUpdateStrategy", `${rolling.maxUnavailable} max unavailable, ${rolling.maxSurge} max surge`);
  }
  describeTemplate(out, spec?.template);
  conditionsWithReason(out, status?.conditions);
  const { items } = await context.client.list(apps.replicasets, {
    namespace: metadata.namespace ?? "",
    labelSelector: formatLabelSelector(spec?.selector),
    signal: context.signal,
  });
  const sets = items.filter((set) => controllerOf(set)?.uid === metadata.uid);
  if (sets.length === 0) return;
  const current = (set: ReplicaSet) => set.metadata.annotations?.[REVISION] === metadata.annotations?.[REVISION];
  out.field(0, "OldReplicaSets", setsText(sets.filter((set) => !current(set))));
  out.field(0, "NewReplicaSet", setsText(sets.filter(current)));
}

function setsText(sets: readonly ReplicaSet[]): string {
  const texts = sets.map(
    (set) => `${set.metadata.name} (${set.status?.replicas ?? 0}/${set.spec?.replicas ?? 0} replicas created)`,
  );
  return texts.length === 0 ? "<none>" : texts.join(", ");
}

/** How many of the owner's pods are in each phase. */
async function podCounts(owner: KubeObject, labelSelector: string, context: DescribeContext): Promise<string> {
  const { items } = await context.client.list(core.pods, {
    namespace: owner.metadata.namespace ?? "",
    labelSelector,
    signal: context.signal,
  });
  const own = items.filter((pod) => controllerOf(pod)?.uid === owner.metadata.uid);
  const count = (phase: string) => own.filter((pod: Pod) => pod.status?.phase === phase).length;
  return `${count("Running")} Running / ${count("Pending")} Waiting / ${count("Succeeded")} Succeeded / ${count("Failed")} Failed`;
}

export async function describeReplicaSet(out: Description, set: ReplicaSet, context: DescribeContext): Promise<void> {
  const { metadata, spec, status } = set;
  out.head(set, ["namespace"]);
  out.field(0, "Selector", selectorText(spec?.selector));
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.owner(set);
  out.field(0, "Replicas", `${status?.replicas ?? 0} current / ${spec?.replicas ?? 1} desired`);
  out.field(0, "Pods Status", await podCounts(set, formatLabelSelector(spec?.selector), context));
  describeTemplate(out, spec?.template);
  conditionsWithReason(out, status?.conditions);
}

export async function describeReplicationController(
  out: Description,
  controller: ReplicationController,
  context: DescribeContext,
): Promise<void> {
  const { metadata, spec, status } = controller;
  const selector = Object.entries(spec?.selector ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
  out.head(controller, ["namespace"]);
  out.field(0, "Selector", selector === "" ? "<none>" : selector);
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.field(0, "Replicas", `${status?.replicas ?? 0} current / ${spec?.replicas ?? 1} desired`);
  out.field(0, "Pods Status", await podCounts(controller, selector, context));
  describeTemplate(out, spec?.template);
  conditionsWithReason(out, status?.conditions);
}

export async function describeStatefulSet(out: Description, set: StatefulSet, context: DescribeContext): Promise<void> {
  const { metadata, spec, status } = set;
  out.head(set, ["namespace", "created"]);
  out.field(0, "Selector", selectorText(spec?.selector));
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.field(0, "Replicas", `${spec?.replicas ?? 1} desired | ${status?.replicas ?? 0} total`);
  out.field(0, "Update Strategy", spec?.updateStrategy?.type);
  const rolling = spec?.updateStrategy?.rollingUpdate;
  if (rolling?.partition !== undefined) out.field(1, "Partition", rolling.partition);
  if (rolling?.maxUnavailable !== undefined) out.field(1, "MaxUnavailable", String(rolling.maxUnavailable));
  out.field(0, "Pods Status", await podCounts(set, formatLabelSelector(spec?.selector), context));
  describeTemplate(out, spec?.template);
  const claims = spec?.volumeClaimTemplates ?? [];
  out.line(0, `Volume Claims:${claims.length === 0 ? "\t<none>" : ""}`);
  for (const claim of claims) {
    out.field(1, "Name", claim.metadata.name);
    out.field(1, "StorageClass", claim.spec?.storageClassName ?? "");
    const level = "  ";
    out.pairs(`${level}Labels`, claim.metadata.labels);
    out.annotations(`${level}Annotations`, claim.metadata.annotations);
    out.field(
      1,
      "Capacity",
      (claim.spec?.resources?.requests as Record<string, string> | undefined)?.storage ?? "<default>",
    );
    out.field(1, "Access Modes", `[${(claim.spec?.accessModes ?? []).join(" ")}]`);
  }
}

export async function describeDaemonSet(out: Description, set: DaemonSet, context: DescribeContext): Promise<void> {
  const { metadata, spec, status } = set;
  out.head(set, ["namespace"]);
  out.field(0, "Selector", selectorText(spec?.selector));
  const nodes = Object.entries(spec?.template.spec?.nodeSelector ?? {}).map(([key, value]) => `${key}=${value}`);
  out.field(0, "Node-Selector", nodes.length === 0 ? "<none>" : nodes.sort().join(","));
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.line(0, `Desired Number of Nodes Scheduled: ${status?.desiredNumberScheduled ?? 0}`);
  out.line(0, `Current Number of Nodes Scheduled: ${status?.currentNumberScheduled ?? 0}`);
  out.line(0, `Number of Nodes Scheduled with Up-to-date Pods: ${status?.updatedNumberScheduled ?? 0}`);
  out.line(0, `Number of Nodes Scheduled with Available Pods: ${status?.numberAvailable ?? 0}`);
  out.line(0, `Number of Nodes Misscheduled: ${status?.numberMisscheduled ?? 0}`);
  out.field(0, "Pods Status", await podCounts(set, formatLabelSelector(spec?.selector), context));
  describeTemplate(out, spec?.template);
}

export function describeJob(out: Description, job: Job): void {
  const { metadata, spec, status } = job;
  out.head(job, ["namespace"]);
  out.field(0, "Selector", selectorText(spec?.selector));
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.owner(job);
  out.field(0, "Parallelism", spec?.parallelism);
  out.field(0, "Completions", spec?.completions ?? "<unset>");
  out.field(0, "Completion Mode", spec?.completionMode);
  out.field(0, "Suspend", spec?.suspend);
  out.field(0, "Backoff Limit", spec?.backoffLimit);
  out.field(0, "TTL Seconds After Finished", spec?.ttlSecondsAfterFinished);
  out.field(0, "Start Time", describeTime(status?.startTime));
  out.field(0, "Completed At", describeTime(status?.completionTime));
  if (status?.startTime !== undefined && status.completionTime !== undefined) {
    out.field(0, "Duration", humanDuration(Date.parse(status.completionTime) - Date.parse(status.startTime)));
  }
  if (spec?.activeDeadlineSeconds !== undefined)
    out.field(0, "Active Deadline Seconds", `${spec.activeDeadlineSeconds}s`);
  const ready = status?.ready === undefined ? "" : ` (${status.ready} Ready)`;
  out.field(
    0,
    "Pods Statuses",
    `${status?.active ?? 0} Active${ready} / ${status?.succeeded ?? 0} Succeeded / ${status?.failed ?? 0} Failed`,
  );
  if (spec?.completionMode === "Indexed") {
    const done = status?.completedIndexes ?? "";
    out.field(0, "Completed Indexes", done === "" ? "<none>" : done.slice(0, 50));
  }
  describeTemplate(out, spec?.template);
}

export function describeCronJob(out: Description, cronjob: CronJob): void {
  const { spec, status } = cronjob;
  out.head(cronjob, ["namespace", "labels", "annotations"]);
  out.field(0, "Schedule", spec?.schedule);
  out.field(0, "Concurrency Policy", spec?.concurrencyPolicy);
  out.field(0, "Suspend", spec?.suspend === true ? "True" : "False");
  out.field(0, "Time Zone", spec?.timeZone ?? "<unset>");
  out.field(0, "Successful Job History Limit", spec?.successfulJobsHistoryLimit ?? "<unset>");
  out.field(0, "Failed Job History Limit", spec?.failedJobsHistoryLimit ?? "<unset>");
  const deadline = spec?.startingDeadlineSeconds;
  out.field(0, "Starting Deadline Seconds", deadline === undefined ? "<unset>" : `${deadline}s`);
  const jobSpec = spec?.jobTemplate.spec;
  out.field(0, "Selector", jobSpec?.selector === undefined ? "<unset>" : selectorText(jobSpec.selector));
  out.field(0, "Parallelism", jobSpec?.parallelism ?? "<unset>");
  out.field(0, "Completions", jobSpec?.completions ?? "<unset>");
  const active = jobSpec?.activeDeadlineSeconds;
  if (active !== undefined) out.field(0, "Active Deadline Seconds", `${active}s`);
  describeTemplate(out, jobSpec?.template);
  out.field(0, "Last Schedule Time", describeTime(status?.lastScheduleTime) ?? "<unset>");
  const jobs = (status?.active ?? []).map((ref) => ref.name ?? "");
  out.field(0, "Active Jobs", jobs.length === 0 ? "<none>" : jobs.join(", "));
}
