import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { renderLines } from "../core/lines.ts";
import { renderTable } from "../core/table.ts";
import { describeTime } from "./describe-time.ts";
import { metadataLines } from "./generic.ts";
import { renderContainers, renderVolumes } from "./pod-template.ts";

export function describePod(pod: Pod): string {
  const { spec, status } = pod;
  const [name, namespace, ...rest] = metadataLines(pod);
  const owner = pod.metadata.ownerReferences?.find((o) => o.controller === true);
  const deleting = pod.metadata.deletionTimestamp;
  const head = renderLines([
    name ?? "",
    namespace ?? "",
    ["Priority", spec?.priority ?? 0],
    ["Service Account", spec?.serviceAccountName],
    ["Node", spec?.nodeName === undefined ? undefined : `${spec.nodeName}/${status?.hostIP ?? ""}`],
    ["Start Time", describeTime(status?.startTime)],
    ...rest,
    ["Status", deleting === undefined ? status?.phase : `Terminating (since ${describeTime(deleting)})`],
    ...(status?.reason === undefined ? [] : [["Reason", status.reason] as const]),
    ...(status?.message === undefined ? [] : [["Message", status.message] as const]),
    ["IP", status?.podIP ?? ""],
    ["IPs", (status?.podIPs ?? []).map((ip) => ip.ip ?? "")],
    ...(owner === undefined ? [] : [["Controlled By", `${owner.kind}/${owner.name}`] as const]),
  ]);
  const conditions = renderTable(
    (status?.conditions ?? []).map((c) => [c.type, c.status]),
    { headings: ["Type", "Status"] },
  );
  const tail = renderLines([
    ["QoS Class", status?.qosClass],
    ["Node-Selectors", Object.entries(spec?.nodeSelector ?? {}).map(([k, v]) => `${k}=${v}`)],
    ["Tolerations", (spec?.tolerations ?? []).map(tolerationText)],
  ]);
  return [
    head,
    renderContainers("Init Containers", spec?.initContainers, status?.initContainerStatuses),
    renderContainers("Containers", spec?.containers, status?.containerStatuses),
    `Conditions:\n${conditions.replace(/^(?=.)/gm, "  ")}`,
    renderVolumes(spec),
    tail,
  ].join("");
}

function tolerationText(t: NonNullable<NonNullable<Pod["spec"]>["tolerations"]>[number]): string {
  const value = (t.value ?? "") === "" ? "" : `=${t.value}`;
  const effect = (t.effect ?? "") === "" ? "" : `:${t.effect}`;
  const exists = t.operator === "Exists" ? " op=Exists" : "";
  const seconds = t.tolerationSeconds === undefined ? "" : ` for ${t.tolerationSeconds}s`;
  return `${t.key ?? ""}${value}${effect}${exists}${seconds}`;
}
