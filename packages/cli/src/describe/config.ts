/** ConfigMaps, Secrets, ServiceAccounts, Namespaces and what limits them. Source: kubectl/pkg/describe (layout). */
import { core } from "@knarr/api/generated/resources.ts";
import type {
  ConfigMap,
  LimitRange,
  Namespace,
  ResourceQuota,
  Secret,
  ServiceAccount,
} from "@knarr/api/generated/types/core-v1.ts";
import type { Description } from "./description.ts";
import type { DescribeContext } from "./index.ts";

type Quantities = Readonly<Record<string, string>>;

export function describeConfigMap(out: Description, map: ConfigMap): void {
  out.head(map, ["namespace", "labels", "annotations"]);
  out.raw("\nData\n====\n");
  for (const [key, value] of sorted(map.data)) out.raw(`${key}:\n----\n${value}\n\n`);
  out.raw("\nBinaryData\n====\n");
  for (const [key, value] of sorted(map.binaryData as Quantities | undefined)) {
    out.raw(`${key}: ${Buffer.from(value, "base64").length} bytes\n`);
  }
  out.raw("\n");
}

export function describeSecret(out: Description, secret: Secret): void {
  out.head(secret, ["namespace", "labels", "annotations"]);
  out.raw(`\nType:  ${secret.type ?? ""}\n\nData\n====\n`);
  for (const [key, value] of sorted(secret.data as Quantities | undefined)) {
    const data = Buffer.from(value, "base64");
    const isToken = key === "token" && secret.type === "kubernetes.io/service-account-token";
    out.line(0, `${key}:\t${isToken ? data.toString("utf8") : `${data.length} bytes`}`);
  }
}

const sorted = (map: Quantities | undefined) => Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));

export async function describeServiceAccount(
  out: Description,
  account: ServiceAccount,
  context: DescribeContext,
): Promise<void> {
  out.head(account, ["namespace", "labels", "annotations"]);
  const { items } = await context.client.list(core.secrets, {
    namespace: account.metadata.namespace ?? "",
    fieldSelector: "type=kubernetes.io/service-account-token",
    signal: context.signal,
  });
  const tokens = items
    .filter((s) => s.metadata.annotations?.["kubernetes.io/service-account.uid"] === account.metadata.uid)
    .map((s) => s.metadata.name ?? "");
  const names = (list: readonly { name?: string | undefined }[] | undefined) =>
    (list ?? []).map((s) => s.name ?? "").sort();
  out.list("Image pull secrets", names(account.imagePullSecrets));
  if ((account.secrets ?? []).length > 0) out.list("Mountable secrets", names(account.secrets));
  if (tokens.length > 0) out.list("Tokens", tokens.sort());
}

export async function describeNamespace(
  out: Description,
  namespace: Namespace,
  context: DescribeContext,
): Promise<void> {
  out.head(namespace, ["labels", "annotations"]);
  out.field(0, "Status", namespace.status?.phase ?? "");
  if ((namespace.status?.conditions ?? []).length > 0) {
    out.line(0, "Conditions:");
    out.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
    out.line(1, "----\t------\t------------------\t------\t-------");
    for (const c of namespace.status?.conditions ?? []) {
      out.line(1, `${c.type}\t${c.status}\t${c.lastTransitionTime ?? ""}\t${c.reason ?? ""}\t${c.message ?? ""}`);
    }
  }
  const query = { namespace: namespace.metadata.name ?? "", signal: context.signal };
  const quotas = (await context.client.list(core.resourcequotas, query)).items;
  const limits = (await context.client.list(core.limitranges, query)).items;
  if (quotas.length === 0) out.line(0, "\nNo resource quota.");
  else {
    out.line(0, "\nResource Quotas");
    for (const quota of quotas) {
      out.field(1, "Name", quota.metadata.name);
      out.line(1, "Resource\tUsed\tHard");
      out.line(1, "--------\t---\t---");
      for (const [name, hard] of sorted(quota.status?.hard as Quantities | undefined)) {
        out.line(1, `${name}\t${(quota.status?.used as Quantities | undefined)?.[name] ?? "0"}\t${hard}`);
      }
    }
  }
  if (limits.length === 0) out.line(0, "\nNo LimitRange resource.");
  else {
    out.line(0, "\nResource Limits");
    limitLines(out, limits, " ");
  }
}

export function describeLimitRange(out: Description, range: LimitRange): void {
  out.head(range, ["namespace"]);
  limitLines(out, [range], "");
}

function limitLines(out: Description, ranges: readonly LimitRange[], space: string): void {
  out.line(0, `${space}Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio`);
  out.line(0, `${space}----\t--------\t---\t---\t---------------\t-------------\t-----------------------`);
  for (const { spec } of ranges) {
    for (const item of spec?.limits ?? []) {
      const { min, max, defaultRequest, default: limit, maxLimitRequestRatio } = item;
      const maps = [min, max, defaultRequest, limit, maxLimitRequestRatio] as (Quantities | undefined)[];
      const names = new Set(maps.flatMap((map) => Object.keys(map ?? {})));
      for (const name of [...names].sort()) {
        out.line(0, [`${space}${item.type}`, name, ...maps.map((map) => map?.[name] ?? "-")].join("\t"));
      }
    }
  }
}

export function describeResourceQuota(out: Description, quota: ResourceQuota): void {
  out.head(quota, ["namespace"]);
  const scopes = quota.spec?.scopes ?? [];
  if (scopes.length > 0) {
    out.field(0, "Scopes", scopes.toSorted().join(", "));
  }
  out.line(0, "Resource\tUsed\tHard");
  out.line(0, "--------\t----\t----");
  for (const [name, hard] of sorted(quota.status?.hard as Quantities | undefined)) {
    out.line(0, `${name}\t${(quota.status?.used as Quantities | undefined)?.[name] ?? "0"}\t${hard}`);
  }
}
