/** What resources the server has, in one request per root where it can (aggregated discovery), else group by group. */
import type { Client } from "@knarr/client/client.ts";
import { type DiscoveredResource, ResourceMapper } from "./core/resource-mapper.ts";

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

interface AggregatedResource {
  resource: string;
  responseKind: { kind: string };
  scope: string;
  singularResource?: string;
  shortNames?: string[];
  categories?: string[];
  verbs: string[];
  subresources?: { subresource: string }[];
}
interface AggregatedList {
  kind: string;
  items: { metadata?: { name?: string }; versions: { version: string; resources?: AggregatedResource[] }[] }[];
}
interface LegacyResourceList {
  resources: {
    name: string;
    singularName: string;
    namespaced: boolean;
    kind: string;
    verbs: string[];
    shortNames?: string[];
    categories?: string[];
  }[];
}

/** Throws StatusError or ConnectionError. Groups whose documents can't be had are left out. */
export async function discover(client: Client, signal?: AbortSignal): Promise<ResourceMapper> {
  const [core, groups] = await Promise.all([
    discoverRoot(client, "/api", signal),
    discoverRoot(client, "/apis", signal),
  ]);
  return new ResourceMapper([...core, ...groups]);
}

async function discoverRoot(client: Client, path: string, signal: AbortSignal | undefined) {
  const { body, headers } = await client.request({
    method: "GET",
    path,
    headers: { accept: `${AGGREGATED},application/json` },
    signal,
  });
  const document: unknown = JSON.parse(body.toString("utf8"));
  if (/as=APIGroupDiscoveryList/.test(headers["content-type"] ?? "")) return fromAggregated(document as AggregatedList);
  const groupVersions =
    path === "/api"
      ? (document as { versions: string[] }).versions.map((version) => ({ group: "", version }))
      : (document as { groups: { name: string; versions: { version: string }[] }[] }).groups.flatMap((group) =>
          group.versions.map(({ version }) => ({ group: group.name, version })),
        );
  const lists = await Promise.all(
    groupVersions.map(async (gv) => {
      const at = gv.group === "" ? `/api/${gv.version}` : `/apis/${gv.group}/${gv.version}`;
      const answer = await client.request({ method: "GET", path: at, headers: { accept: "application/json" }, signal });
      return fromLegacy(gv.group, gv.version, JSON.parse(answer.body.toString("utf8")) as LegacyResourceList);
    }),
  );
  return lists.flat();
}

function fromAggregated(list: AggregatedList): DiscoveredResource[] {
  return list.items.flatMap((group) =>
    group.versions.flatMap(({ version, resources }) =>
      (resources ?? []).map((r) => ({
        group: group.metadata?.name ?? "",
        version,
        resource: r.resource,
        kind: r.responseKind.kind,
        namespaced: r.scope === "Namespaced",
        singular: r.singularResource ?? r.responseKind.kind.toLowerCase(),
        shortNames: r.shortNames ?? [],
        categories: r.categories ?? [],
        verbs: r.verbs,
        subresources: (r.subresources ?? []).map((s) => s.subresource),
      })),
    ),
  );
}

function fromLegacy(group: string, version: string, list: LegacyResourceList): DiscoveredResource[] {
  return list.resources
    .filter((r) => !r.name.includes("/"))
    .map((r) => ({
      group,
      version,
      resource: r.name,
      kind: r.kind,
      namespaced: r.namespaced,
      singular: r.singularName === "" ? r.kind.toLowerCase() : r.singularName,
      shortNames: r.shortNames ?? [],
      categories: r.categories ?? [],
      verbs: r.verbs,
      subresources: list.resources
        .filter((s) => s.name.startsWith(`${r.name}/`))
        .map((s) => s.name.slice(r.name.length + 1)),
    }));
}
