import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { humanDuration } from "@knarr/api/human-duration.ts";
import { pairs, renderLines } from "../core/lines.ts";
import { renderTable } from "../core/table.ts";
import { describeTime } from "./describe-time.ts";
import { metadataLines } from "./generic.ts";
import type { DescribeContext } from "./index.ts";

export async function describeNode(node: Node, context: DescribeContext): Promise<string> {
  const { spec, status } = node;
  const { items: pods } = await context.client.list(core.pods, {
    fieldSelector: `spec.nodeName=${node.metadata.name},status.phase!=Failed,status.phase!=Succeeded`,
    signal: context.signal,
  });
  const roles = Object.keys(node.metadata.labels ?? {})
    .filter((label) => label.startsWith("node-role.kubernetes.io/"))
    .map((label) => label.slice("node-role.kubernetes.io/".length));
  const [name, ...rest] = metadataLines(node);
  const conditions = (status?.conditions ?? []).map((c) => [
    c.type,
    c.status,
    describeTime(c.lastHeartbeatTime) ?? "",
    describeTime(c.lastTransitionTime) ?? "",
    c.reason ?? "",
    c.message ?? "",
  ]);
  const ageOf = (created: string | undefined) => humanDuration(context.nowMs - Date.parse(created ?? ""));
  const podRows = pods.map((p) => [
    p.metadata.namespace ?? "",
    p.metadata.name ?? "",
    ageOf(p.metadata.creationTimestamp),
  ]);
  const block = (title: string, text: string) => `${title}:\n${text.replace(/^(?=.)/gm, "  ")}`;
  return [
    renderLines([
      name ?? "",
      ["Roles", roles.join(",") || "<none>"],
      ...rest,
      ["CreationTimestamp", describeTime(node.metadata.creationTimestamp)],
      ["Taints", (spec?.taints ?? []).map((t) => `${t.key}${t.value === undefined ? "" : `=${t.value}`}:${t.effect}`)],
      ["Unschedulable", spec?.unschedulable ?? false],
    ]),
    block(
      "Conditions",
      renderTable(conditions, {
        headings: ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"],
      }),
    ),
    block("Addresses", renderLines((status?.addresses ?? []).map((a) => [a.type, a.address]))),
    block("Capacity", renderLines(pairs(status?.capacity, "\0").map((p) => p.split("\0") as [string, string]))),
    block("Allocatable", renderLines(pairs(status?.allocatable, "\0").map((p) => p.split("\0") as [string, string]))),
    block(
      "System Info",
      renderLines(Object.entries(status?.nodeInfo ?? {}).map(([field, value]) => [field, String(value)] as const)),
    ),
    renderLines([
      ["PodCIDR", spec?.podCIDR],
      ["PodCIDRs", (spec?.podCIDRs ?? []).join(",") || "<none>"],
    ]),
    block(
      `Non-terminated Pods (${pods.length} in total)`,
      renderTable(podRows, { headings: ["Namespace", "Name", "Age"] }),
    ),
  ].join("");
}
