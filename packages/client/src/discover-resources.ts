/**
 * What resources a server has, in their preferred versions. Asks for aggregated discovery (two requests) and understands
 * servers that only have the older form. Source: KEP-3352
 */
import type { APIGroupList, APIResourceList } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { CallOptions, Client } from "./client.ts";
import { decodeJson } from "./codec.ts";

export interface DiscoveredResource extends ResourceRef<KubeObject> {
  readonly verbs: readonly string[];
}
export interface Discovery {
  readonly resources: readonly DiscoveredResource[];
  /** Group versions that could not be asked, by reason: what they hold is unknown, not absent. */
  readonly failures: readonly { readonly groupVersion: string; readonly message: string }[];
}

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

interface AggregatedResource {
  resource: string;
  responseKind?: { kind?: string };
  scope?: string;
  verbs?: string[];
}
interface AggregatedList {
  kind?: string;
  items?: {
    metadata?: { name?: string };
    versions?: { version: string; freshness?: string; resources?: AggregatedResource[] }[];
  }[];
}

/** Each resource once: of a group's versions the first that has it. Rejects when the server itself can't be asked. */
export async function discoverResources(client: Client, options: CallOptions = {}): Promise<Discovery> {
  const found = new Map<string, DiscoveredResource>();
  const failures: { groupVersion: string; message: string }[] = [];
  for (const path of ["/api", "/apis"]) {
    const accept = `${AGGREGATED},application/json`;
    const { body } = await client.request({ method: "GET", path, headers: { accept }, ...options });
    const document = decodeJson(body) as AggregatedList;
    if (document.kind === "APIGroupDiscoveryList") addAggregated(document, { found, failures });
    else await addLegacy(client, { path, document, options }, { found, failures });
  }
  return { resources: [...found.values()], failures };
}

interface Collected {
  readonly found: Map<string, DiscoveredResource>;
  readonly failures: { groupVersion: string; message: string }[];
}

function add({ found }: Collected, resource: DiscoveredResource): void {
  const id = `${resource.group}/${resource.resource}`;
  if (!found.has(id)) found.set(id, resource);
}

function addAggregated(list: AggregatedList, into: Collected): void {
  for (const { metadata, versions } of list.items ?? []) {
    const group = metadata?.name ?? "";
    for (const { version, freshness, resources } of versions ?? []) {
      if (freshness === "Stale") {
        into.failures.push({ groupVersion: apiVersionOf({ group, version }), message: "stale GroupVersion discovery" });
      }
      for (const { resource, responseKind, scope, verbs } of resources ?? []) {
        const kind = responseKind?.kind ?? "";
        add(into, { group, version, resource, kind, namespaced: scope === "Namespaced", verbs: verbs ?? [] });
      }
    }
  }
}

async function addLegacy(
  client: Client,
  from: { path: string; document: unknown; options: CallOptions },
  into: Collected,
): Promise<void> {
  const versions =
    from.path === "/api"
      ? ((from.document as { versions?: string[] }).versions ?? [])
      : (from.document as APIGroupList).groups.flatMap(({ preferredVersion, versions: all }) => [
          ...(preferredVersion === undefined ? [] : [preferredVersion.groupVersion]),
          ...all.map(({ groupVersion }) => groupVersion).filter((one) => one !== preferredVersion?.groupVersion),
        ]);
  for (const groupVersion of versions) {
    try {
      const { body } = await client.request({ method: "GET", path: `${from.path}/${groupVersion}`, ...from.options });
      const [version = "", group = ""] = groupVersion.split("/").reverse();
      for (const { name, kind, namespaced, verbs } of (decodeJson(body) as APIResourceList).resources) {
        if (!name.includes("/")) add(into, { group, version, resource: name, kind, namespaced, verbs });
      }
    } catch (error) {
      // An aggregated server that is away: its resources are unknown, the others are not.
      from.options.signal?.throwIfAborted();
      into.failures.push({ groupVersion, message: error instanceof Error ? error.message : String(error) });
    }
  }
}
