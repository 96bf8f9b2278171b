import type { Pod, PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import { describeContainers, describeResources } from "./containers.ts";
import { describeTime } from "./describe-time.ts";
import { Description } from "./description.ts";
import { describeVolumes } from "./volumes.ts";

export function describePod(out: Description, pod: Pod): void {
  const { metadata, spec, status } = pod;
  out.head(pod, ["namespace"]);
  out.field(0, "Priority", spec?.priority);
  if ((spec?.priorityClassName ?? "") !== "") out.field(0, "Priority Class Name", spec?.priorityClassName);
  if ((spec?.runtimeClassName ?? "") !== "") out.field(0, "Runtime Class Name", spec?.runtimeClassName);
  if ((spec?.serviceAccountName ?? "") !== "") out.field(0, "Service Account", spec?.serviceAccountName);
  const node = spec?.nodeName ?? "";
  out.field(0, "Node", node === "" ? "<none>" : `${node}/${status?.hostIP ?? ""}`);
  out.field(0, "Start Time", describeTime(status?.startTime));
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  if (metadata.deletionTimestamp !== undefined && status?.phase !== "Failed" && status?.phase !== "Succeeded") {
    out.field(0, "Status", `Terminating (lasts ${since(metadata.deletionTimestamp)})`);
    out.field(0, "Termination Grace Period", `${metadata.deletionGracePeriodSeconds ?? 0}s`);
  } else out.field(0, "Status", status?.phase ?? "");
  if ((status?.reason ?? "") !== "") out.field(0, "Reason", status?.reason);
  if ((status?.message ?? "") !== "") out.field(0, "Message", status?.message);
  const profile = spec?.securityContext?.seccompProfile;
  if (profile !== undefined) {
    out.field(0, "SeccompProfile", profile.type);
    if (profile.type === "Localhost") out.field(0, "LocalhostProfile", profile.localhostProfile);
  }
  out.field(0, "IP", status?.podIP ?? "");
  const addresses = status?.podIPs ?? [];
  out.line(0, addresses.length === 0 ? "IPs:\t<none>" : "IPs:");
  for (const { ip } of addresses) out.field(1, "IP", ip);
  out.owner(pod);
  if ((status?.nominatedNodeName ?? "") !== "") out.field(0, "NominatedNodeName", status?.nominatedNodeName);
  if (spec?.resources !== undefined) {
    out.line(0, "Resources:");
    describeResources(out, spec.resources, 1);
  }
  if ((spec?.initContainers ?? []).length > 0) {
    describeContainers(out, "Init Containers", spec?.initContainers, status?.initContainerStatuses, "", pod);
  }
  describeContainers(out, "Containers", spec?.containers, status?.containerStatuses, "", pod);
  if ((spec?.ephemeralContainers ?? []).length > 0) {
    const containers = spec?.ephemeralContainers as NonNullable<typeof spec>["containers"];
    describeContainers(out, "Ephemeral Containers", containers, status?.ephemeralContainerStatuses, "", pod);
  }
  if ((spec?.readinessGates ?? []).length > 0) {
    out.line(0, "Readiness Gates:\n  Type\tStatus");
    for (const { conditionType } of spec?.readinessGates ?? []) {
      const found = status?.conditions?.find((c) => c.type === conditionType);
      out.line(1, `${conditionType} \t${found?.status ?? "<none>"} `);
    }
  }
  if ((status?.conditions ?? []).length > 0) {
    out.line(0, "Conditions:\n  Type\tStatus");
    for (const condition of status?.conditions ?? []) out.line(1, `${condition.type} \t${condition.status} `);
  }
  describeVolumes(out, spec?.volumes, "");
  out.field(0, "QoS Class", status?.qosClass ?? "");
  out.pairs("Node-Selectors", spec?.nodeSelector);
  out.tolerations("Tolerations", spec?.tolerations);
  describeSpread(out, spec?.topologySpreadConstraints, "");
}

function since(time: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

type Spread = NonNullable<NonNullable<Pod["spec"]>["topologySpreadConstraints"]>;

function describeSpread(out: Description, constraints: Spread | undefined, space: string): void {
  if (constraints === undefined || constraints.length === 0) return;
  out.line(0, `${space}Topology Spread Constraints:\t${constraints.map(spreadText).join(`\n${space}\t`)}`);
}

function spreadText({ topologyKey, whenUnsatisfiable, maxSkew, labelSelector }: Spread[number]): string {
  const pairs = Object.entries((labelSelector?.matchLabels ?? {}) as Record<string, string>).map(
    ([k, v]) => `${k}=${v}`,
  );
  const selector = pairs.length === 0 ? "" : ` for selector ${pairs.join(",")}`;
  return `${topologyKey}:${whenUnsatisfiable} when max skew ${maxSkew} is exceeded${selector}`;
}

export function describeTemplate(out: Description, template: PodTemplateSpec | undefined): void {
  out.line(0, "Pod Template:");
  if (template === undefined) {
    out.line(1, "<unset>");
    return;
  }
  const { metadata, spec } = template;
  out.pairs("  Labels", metadata?.labels);
  if (Object.keys(metadata?.annotations ?? {}).length > 0) out.annotations("  Annotations", metadata?.annotations);
  if ((spec?.serviceAccountName ?? "") !== "") out.field(0, "  Service Account", spec?.serviceAccountName);
  if ((spec?.initContainers ?? []).length > 0) {
    describeContainers(out, "Init Containers", spec?.initContainers, undefined, "  ");
  }
  describeContainers(out, "Containers", spec?.containers, undefined, "  ");
  describeVolumes(out, spec?.volumes, "  ");
  describeSpread(out, spec?.topologySpreadConstraints, "  ");
  if ((spec?.priorityClassName ?? "") !== "") out.field(0, "  Priority Class Name", spec?.priorityClassName);
  out.pairs("  Node-Selectors", spec?.nodeSelector);
  out.tolerations("  Tolerations", spec?.tolerations);
}

/** A pod template by itself, as `rollout history --revision` shows it. */
export function renderTemplate(template: PodTemplateSpec): string {
  const out = new Description();
  describeTemplate(out, template);
  return out.toString();
}
