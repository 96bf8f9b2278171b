import { coordination, core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { humanDuration } from "@knarr/api/human-duration.ts";
import { addQuantities, compareQuantities, cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { describeTime } from "./describe-time.ts";
import type { Description } from "./description.ts";
import type { DescribeContext } from "./index.ts";

type Quantities = Readonly<Record<string, string>>;

export async function describeNode(out: Description, node: Node, context: DescribeContext): Promise<void> {
  const { metadata, spec, status } = node;
  out.field(0, "Name", metadata.name);
  const prefix = "node-role.kubernetes.io/";
  const roles = Object.keys(metadata.labels ?? {})
    .filter((l) => l.startsWith(prefix))
    .map((l) => l.slice(prefix.length));
  out.field(0, "Roles", roles.length === 0 ? "<none>" : roles.sort().join(","));
  out.pairs("Labels", metadata.labels);
  out.annotations("Annotations", metadata.annotations);
  out.field(0, "CreationTimestamp", describeTime(metadata.creationTimestamp));
  const taints = (spec?.taints ?? []).map((t) => `${t.key}${(t.value ?? "") === "" ? "" : `=${t.value}`}:${t.effect}`);
  out.list("Taints", taints.toSorted());
  out.field(0, "Unschedulable", spec?.unschedulable === true);
  await describeLease(out, metadata.name ?? "", context);
  if ((status?.conditions ?? []).length > 0) {
    out.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    out.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for (const c of status?.conditions ?? []) {
      const [beat, changed] = [describeTime(c.lastHeartbeatTime) ?? "", describeTime(c.lastTransitionTime) ?? ""];
      out.line(1, `${c.type} \t${c.status} \t${beat} \t${changed} \t${c.reason ?? ""} \t${c.message ?? ""}`);
    }
  }
  out.line(0, "Addresses:");
  for (const { type, address } of status?.addresses ?? []) out.field(1, type, address);
  quantities(out, "Capacity", status?.capacity as Quantities | undefined);
  quantities(out, "Allocatable", status?.allocatable as Quantities | undefined);
  const info = status?.nodeInfo;
  out.line(0, "System Info:");
  for (const [label, value] of [
    ["Machine ID", info?.machineID],
    ["System UUID", info?.systemUUID],
    ["Boot ID", info?.bootID],
    ["Kernel Version", info?.kernelVersion],
    ["OS Image", info?.osImage],
    ["Operating System", info?.operatingSystem],
    ["Architecture", info?.architecture],
    ["Container Runtime Version", info?.containerRuntimeVersion],
    ["Kubelet Version", info?.kubeletVersion],
    ["Kube-Proxy Version", info?.kubeProxyVersion],
  ] as const) {
    // Deprecated, and empty since 1.33.
    if (label !== "Kube-Proxy Version" || (value ?? "") !== "") out.field(1, label, value ?? "");
  }
  if ((spec?.podCIDR ?? "") !== "") out.field(0, "PodCIDR", spec?.podCIDR);
  if ((spec?.podCIDRs ?? []).length > 0) out.field(0, "PodCIDRs", (spec?.podCIDRs ?? []).join(","));
  if ((spec?.providerID ?? "") !== "") out.field(0, "ProviderID", spec?.providerID);
  await describePods(out, node, context);
}

async function describeLease(out: Description, name: string, { client, signal }: DescribeContext): Promise<void> {
  try {
    const lease = await client.get(coordination.leases, { namespace: "kube-node-lease", name }, { signal });
    out.line(0, "Lease:");
    out.field(1, "HolderIdentity", lease.spec?.holderIdentity ?? "<unset>");
    out.field(1, "AcquireTime", describeTime(lease.spec?.acquireTime) ?? "<unset>");
    out.field(1, "RenewTime", describeTime(lease.spec?.renewTime) ?? "<unset>");
  } catch (error) {
    if (!isNotFound(error)) throw error;
    out.field(0, "Lease", `Failed to get lease: ${(error as Error).message}`);
  }
}

function quantities(out: Description, title: string, map: Quantities | undefined): void {
  const entries = Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return;
  out.line(0, `${title}:`);
  for (const [name, value] of entries) out.field(1, name, value);
}

async function describePods(out: Description, node: Node, context: DescribeContext): Promise<void> {
  const { items } = await context.client.list(core.pods, {
    fieldSelector: `spec.nodeName=${node.metadata.name},status.phase!=Succeeded,status.phase!=Failed`,
    signal: context.signal,
  });
  const allocatable = (node.status?.allocatable ?? node.status?.capacity ?? {}) as Quantities;
  out.field(0, "Non-terminated Pods", `(${items.length} in total)`);
  out.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
  out.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
  const sums: Record<"requests" | "limits", Record<string, string>> = { requests: {}, limits: {} };
  for (const pod of items) {
    const total = totalsOf(pod);
    for (const part of ["requests", "limits"] as const) {
      for (const [name, value] of Object.entries(total[part]))
        sums[part][name] = addQuantities(sums[part][name] ?? "0", value);
    }
    const age = humanDuration(context.nowMs - Date.parse(pod.metadata.creationTimestamp ?? ""));
    const cells = [
      share("cpu", total.requests.cpu, allocatable),
      share("cpu", total.limits.cpu, allocatable),
      share("memory", total.requests.memory, allocatable),
      share("memory", total.limits.memory, allocatable),
    ];
    out.line(1, `${pod.metadata.namespace}\t${pod.metadata.name}\t\t${cells.join("\t")}\t${age}`);
  }
  out.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
  out.line(1, "Resource\tRequests\tLimits");
  out.line(1, "--------\t--------\t------");
  const known = ["cpu", "memory", "ephemeral-storage"];
  const others = Object.keys(allocatable).filter((name) => name.startsWith("hugepages-") || name.includes("/"));
  for (const name of [...known, ...others.sort()]) {
    if (name.includes("/")) {
      out.line(1, `${name}\t${sums.requests[name] ?? "0"}\t${sums.limits[name] ?? "0"}`);
      continue;
    }
    out.line(
      1,
      `${name}\t${share(name, sums.requests[name], allocatable)}\t${share(name, sums.limits[name], allocatable)}`,
    );
  }
}

/** Containers together, or the greatest init container where that is more, and the overhead. */
function totalsOf({ spec }: Pod): Record<"requests" | "limits", Record<string, string>> {
  const result: Record<"requests" | "limits", Record<string, string>> = { requests: {}, limits: {} };
  for (const part of ["requests", "limits"] as const) {
    const sum = result[part];
    const add = (map: Quantities | undefined) => {
      for (const [name, value] of Object.entries(map ?? {})) sum[name] = addQuantities(sum[name] ?? "0", value);
    };
    for (const container of spec?.containers ?? []) add(container.resources?.[part] as Quantities | undefined);
    for (const init of spec?.initContainers ?? []) {
      const map = (init.resources?.[part] ?? {}) as Quantities;
      if (init.restartPolicy === "Always") add(map);
      else
        for (const [name, value] of Object.entries(map))
          if (compareQuantities(value, sum[name] ?? "0") > 0) sum[name] = value;
    }
    if (part === "requests" || Object.keys(sum).length > 0) add(spec?.overhead as Quantities | undefined);
  }
  return result;
}

function share(name: string, value: string | undefined, allocatable: Quantities): string {
  const of = allocatable[name] ?? "0";
  const number = name === "cpu" ? cpuMillis : quantityValue;
  const total = number(of);
  const percent = total === 0 ? 0 : Math.floor((number(value ?? "0") / total) * 100);
  return `${value ?? "0"} (${percent}%)`;
}
