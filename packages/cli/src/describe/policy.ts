/** RBAC, autoscalers, disruption budgets, priorities and certificate requests. Source: kubectl/pkg/describe (layout). */
import type { HorizontalPodAutoscaler } from "@knarr/api/generated/types/autoscaling-v2.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import type { PodDisruptionBudget } from "@knarr/api/generated/types/policy-v1.ts";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "@knarr/api/generated/types/rbac-v1.ts";
import type { PriorityClass } from "@knarr/api/generated/types/scheduling-v1.ts";
import { describeTime } from "./describe-time.ts";
import { type Description, selectorText } from "./description.ts";

export function describeRole(out: Description, role: Role | ClusterRole): void {
  out.head(role, ["labels", "annotations"]);
  out.line(0, "PolicyRule:");
  out.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
  out.line(1, "---------\t-----------------\t--------------\t-----");
  const rows = new Map<string, { cells: readonly [string, string, string]; verbs: string[] }>();
  const list = (items: readonly string[] | undefined) => `[${(items ?? []).join(" ")}]`;
  const add = (resource: string, urls: string, names: string, verbs: readonly string[]) => {
    const key = `${resource}|${urls}|${names}`;
    const row = rows.get(key) ?? { cells: [resource, urls, names], verbs: [] };
    for (const verb of verbs) if (!row.verbs.includes(verb)) row.verbs.push(verb);
    rows.set(key, row);
  };
  for (const rule of role.rules ?? []) {
    for (const url of rule.nonResourceURLs ?? []) add("", `[${url}]`, "[]", rule.verbs);
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const [plain = "", subresource] = resource.split("/", 2);
        const full = group === "" ? resource : `${plain}.${group}${subresource === undefined ? "" : `/${subresource}`}`;
        for (const names of (rule.resourceNames ?? []).length === 0
          ? ["[]"]
          : (rule.resourceNames ?? []).map((n) => `[${n}]`)) {
          add(full, "[]", names, rule.verbs);
        }
      }
    }
  }
  const sorted = [...rows.values()].sort((a, b) => (a.cells.join() < b.cells.join() ? -1 : 1));
  for (const { cells, verbs } of sorted) out.line(1, `${cells.join("\t")}\t${list(verbs)}`);
}

export function describeRoleBinding(out: Description, binding: RoleBinding | ClusterRoleBinding): void {
  out.head(binding, ["labels", "annotations"]);
  out.line(0, "Role:");
  out.field(1, "Kind", binding.roleRef.kind);
  out.field(1, "Name", binding.roleRef.name);
  out.line(0, "Subjects:");
  out.line(1, "Kind\tName\tNamespace");
  out.line(1, "----\t----\t---------");
  for (const { kind, name, namespace = "" } of binding.subjects ?? []) out.line(1, `${kind}\t${name}\t${namespace}`);
}

export function describePriorityClass(out: Description, found: PriorityClass): void {
  out.field(0, "Name", found.metadata.name);
  out.field(0, "Value", found.value);
  out.field(0, "GlobalDefault", found.globalDefault === true);
  out.field(0, "PreemptionPolicy", found.preemptionPolicy);
  out.field(0, "Description", found.description ?? "");
  const annotations = Object.entries(found.metadata.annotations ?? {}).map(([key, value]) => `${key}=${value}`);
  out.field(0, "Annotations", annotations.length === 0 ? "<none>" : annotations.sort().join(","));
}

export function describePodDisruptionBudget(out: Description, budget: PodDisruptionBudget): void {
  const { spec, status } = budget;
  out.head(budget, ["namespace"]);
  if (spec?.minAvailable !== undefined) out.field(0, "Min available", String(spec.minAvailable));
  else if (spec?.maxUnavailable !== undefined) out.field(0, "Max unavailable", String(spec.maxUnavailable));
  out.field(0, "Selector", spec?.selector === undefined ? "<unset>" : selectorText(spec.selector));
  out.line(0, "Status:");
  out.field(2, "Allowed disruptions", status?.disruptionsAllowed ?? 0);
  out.field(2, "Current", status?.currentHealthy ?? 0);
  out.field(2, "Desired", status?.desiredHealthy ?? 0);
  out.field(2, "Total", status?.expectedPods ?? 0);
}

export function describeAutoscaler(out: Description, hpa: HorizontalPodAutoscaler): void {
  const { spec, status } = hpa;
  out.head(hpa, ["namespace", "labels", "annotations", "created"]);
  out.field(0, "Reference", `${spec?.scaleTargetRef.kind}/${spec?.scaleTargetRef.name}`);
  out.line(0, "Metrics:\t( current / target )");
  for (const [i, metric] of (spec?.metrics ?? []).entries()) {
    const current = status?.currentMetrics?.[i];
    const { resource, containerResource, pods, object, external } = metric;
    const target = (resource ?? containerResource ?? pods ?? object ?? external)?.target;
    const found = current?.[metric.type.replace(/^./, (c) => c.toLowerCase()) as "resource"]?.current;
    const values =
      target?.averageUtilization === undefined
        ? `${found?.averageValue ?? found?.value ?? "<unknown>"} / ${target?.averageValue ?? target?.value}`
        : `${found?.averageUtilization === undefined ? "<unknown>" : `${found.averageUtilization}% (${found.averageValue})`} / ${target.averageUtilization}%`;
    const title =
      resource === undefined
        ? containerResource === undefined
          ? `"${(pods ?? object ?? external)?.metric.name}"${pods === undefined ? "" : " on pods"}`
          : `resource ${containerResource.name} of container "${containerResource.container}" on pods`
        : `resource ${resource.name} on pods`;
    const asPercentage = target?.averageUtilization === undefined ? "" : "  (as a percentage of request)";
    out.line(1, `${title}${asPercentage}:\t${values}`);
  }
  out.field(0, "Min replicas", spec?.minReplicas ?? "<unset>");
  out.field(0, "Max replicas", spec?.maxReplicas);
  out.line(
    0,
    `${spec?.scaleTargetRef.kind} pods:\t${status?.currentReplicas ?? 0} current / ${status?.desiredReplicas ?? 0} desired`,
  );
  if ((status?.conditions ?? []).length === 0) return;
  out.line(0, "Conditions:");
  out.line(1, "Type\tStatus\tReason\tMessage");
  out.line(1, "----\t------\t------\t-------");
  for (const c of status?.conditions ?? [])
    out.line(1, `${c.type}\t${c.status}\t${c.reason ?? ""}\t${c.message ?? ""}`);
}

export function describeCertificateRequest(out: Description, request: CertificateSigningRequest): void {
  const { metadata, spec, status } = request;
  out.head(request, ["labels", "annotations"]);
  out.field(0, "CreationTimestamp", describeTime(metadata.creationTimestamp));
  out.field(0, "Requesting User", spec?.username ?? "");
  if ((spec?.signerName ?? "") !== "") out.field(0, "Signer", spec?.signerName);
  if (spec?.expirationSeconds !== undefined) out.field(0, "Requested Duration", `${spec.expirationSeconds}s`);
  const types = (status?.conditions ?? []).map((c) => c.type);
  const answered = types.filter((type) => type === "Approved" || type === "Denied" || type === "Failed");
  const issued = (status?.certificate ?? "") === "" ? [] : ["Issued"];
  out.field(0, "Status", answered.length === 0 ? "Pending" : [...answered, ...issued].join(","));
}
