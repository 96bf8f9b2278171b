import { apps } from "@knarr/api/generated/resources.ts";
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf } from "@knarr/apimachinery/object.ts";
import { pairs, renderLines } from "../core/lines.ts";
import { renderTable } from "../core/table.ts";
import { describeTime } from "./describe-time.ts";
import { metadataLines } from "./generic.ts";
import type { DescribeContext } from "./index.ts";
import { renderContainers, renderVolumes } from "./pod-template.ts";

const REVISION = "deployment.kubernetes.io/revision";

export async function describeDeployment(deployment: Deployment, context: DescribeContext): Promise<string> {
  const { spec, status } = deployment;
  const [name, namespace, ...rest] = metadataLines(deployment);
  const rolling = spec?.strategy?.rollingUpdate;
  const counts =
    `${spec?.replicas ?? 1} desired | ${status?.updatedReplicas ?? 0} updated | ${status?.replicas ?? 0} total | ` +
    `${status?.availableReplicas ?? 0} available | ${status?.unavailableReplicas ?? 0} unavailable`;
  const selector = formatLabelSelector(spec?.selector);
  const { items } = await context.client.list(apps.replicasets, {
    ...(deployment.metadata.namespace === undefined ? {} : { namespace: deployment.metadata.namespace }),
    labelSelector: selector,
    signal: context.signal,
  });
  const sets = items.filter((set) => controllerOf(set)?.uid === deployment.metadata.uid);
  const revision = deployment.metadata.annotations?.[REVISION];
  const current = sets.filter((set) => set.metadata.annotations?.[REVISION] === revision);
  const old = sets.filter((set) => set.metadata.annotations?.[REVISION] !== revision);
  const conditions = renderTable(
    (status?.conditions ?? []).map((c) => [c.type, c.status, c.reason ?? ""]),
    { headings: ["Type", "Status", "Reason"] },
  );
  return [
    renderLines([
      name ?? "",
      namespace ?? "",
      ["CreationTimestamp", describeTime(deployment.metadata.creationTimestamp)],
      ...rest,
      ["Selector", selector],
      ["Replicas", counts],
      ["StrategyType", spec?.strategy?.type],
      ["MinReadySeconds", spec?.minReadySeconds ?? 0],
      ...(rolling === undefined
        ? []
        : [
            [
              "RollingUpdateStrategy",
              `${rolling.maxUnavailable} max unavailable, ${rolling.maxSurge} max surge`,
            ] as const,
          ]),
    ]),
    "Pod Template:\n",
    renderLines([["Labels", pairs(spec?.template.metadata?.labels)]], 1),
    renderContainers("Containers", spec?.template.spec?.containers, undefined).replace(/^(?=.)/gm, " "),
    renderVolumes(spec?.template.spec).replace(/^(?=.)/gm, " "),
    `Conditions:\n${conditions.replace(/^(?=.)/gm, "  ")}`,
    renderLines([
      ["OldReplicaSets", setsText(old)],
      ["NewReplicaSet", setsText(current)],
    ]),
  ].join("");
}

function setsText(sets: readonly ReplicaSet[]): string {
  const texts = sets.map(
    (set) => `${set.metadata.name} (${set.status?.replicas ?? 0}/${set.spec?.replicas ?? 0} replicas created)`,
  );
  return texts.length === 0 ? "<none>" : texts.join(", ");
}
