/**
 * The objects that a command line means: by file (-f, -k), by `TYPE NAME`, `TYPE/NAME`, by selector or --all. Shared by
 * every verb that changes objects.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf, type ObjectKey } from "@knarr/apimachinery/resource.ts";
import type { DiscoveredResource, ResourceMapper } from "./core/resource-mapper.ts";
import { parseSelection } from "./core/selection.ts";
import { discover } from "./discovery.ts";
import { describeError } from "./errors.ts";
import type { SelectOptions } from "./flags.ts";
import { readManifests } from "./read-manifests.ts";
import { type CliContext, CliError, type Connection } from "./verb.ts";

export interface FoundObject {
  readonly resource: DiscoveredResource;
  readonly key: ObjectKey;
  readonly object: KubeObject;
  /** The file it came from; undefined for objects named on the command line. */
  readonly source: string | undefined;
}

export const NOTHING_NAMED =
  "You must provide one or more resources by argument or filename.\n" +
  "Example resource specifications include:\n" +
  "   '-f rsrc.yaml'\n" +
  "   '--filename=rsrc.json'\n" +
  "   '<resource> <name>'\n" +
  "   '<resource>'";

/** Throws CliError for contradictory words and flags, StatusError when a named object is not there. */
export async function findObjects(
  words: readonly string[],
  options: SelectOptions,
  connection: Connection,
  context: CliContext,
): Promise<FoundObject[]> {
  const named = (options.filename?.length ?? 0) > 0 || options.kustomize !== undefined;
  if (!named && words.length === 0) throw new CliError(NOTHING_NAMED);
  if (options.local === true) return localObjects(options, connection, context);
  const mapper = await discover(connection.client, context.signal);
  return named
    ? objectsOfFiles(options, mapper, connection, context)
    : objectsOfWords(words, options, mapper, connection, context);
}

async function localObjects(options: SelectOptions, connection: Connection, context: CliContext) {
  const manifests = await readManifests(
    options.filename ?? [],
    { ...options, recursive: options.recursive === true },
    context,
  );
  return manifests.map(({ object, source }): FoundObject => {
    const [first = "", second] = object.apiVersion.split("/");
    const { kind } = object;
    const group = second === undefined ? "" : first;
    const resource: DiscoveredResource = {
      group,
      version: second ?? first,
      resource: `${kind.toLowerCase()}s`,
      kind,
      namespaced: true,
      singular: kind.toLowerCase(),
      shortNames: [],
      categories: [],
      verbs: [],
      subresources: [],
    };
    const key = { namespace: object.metadata.namespace ?? connection.namespace, name: object.metadata.name ?? "" };
    return { resource, key, object, source };
  });
}

async function objectsOfFiles(
  options: SelectOptions,
  mapper: ResourceMapper,
  connection: Connection,
  context: CliContext,
): Promise<FoundObject[]> {
  const manifests = await readManifests(
    options.filename ?? [],
    { ...options, recursive: options.recursive === true },
    context,
  );
  const found: FoundObject[] = [];
  for (const { object, source } of manifests) {
    const resource = mapper.forKind(object.apiVersion, object.kind);
    const namespace = resource.namespaced ? (object.metadata.namespace ?? connection.namespace) : "";
    const key = { namespace, name: object.metadata.name ?? "" };
    found.push({ resource, key, object: await getObject(connection, resource, key, context.signal), source });
  }
  return found;
}

async function objectsOfWords(
  words: readonly string[],
  options: SelectOptions,
  mapper: ResourceMapper,
  connection: Connection,
  context: CliContext,
): Promise<FoundObject[]> {
  const found: FoundObject[] = [];
  for (const { resource, name } of parseSelection(words, mapper)) {
    const everywhere = !resource.namespaced || (options.allNamespaces === true && name === undefined);
    const namespace = everywhere ? "" : connection.namespace;
    if (name !== undefined) {
      const key = { namespace, name };
      found.push({
        resource,
        key,
        object: await getObject(connection, resource, key, context.signal),
        source: undefined,
      });
      continue;
    }
    const { selector, fieldSelector, all } = options;
    if (selector === undefined && fieldSelector === undefined && all !== true) {
      throw new CliError("resource(s) were provided, but no name was specified");
    }
    const query = { namespace, labelSelector: selector, fieldSelector, signal: context.signal };
    const { items } = await connection.client.list(resource, query);
    for (const item of items as KubeObject[]) {
      const object = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...item };
      const key = { namespace: item.metadata.namespace ?? "", name: item.metadata.name ?? "" };
      found.push({ resource, key, object, source: undefined });
    }
  }
  return found;
}

export async function getObject(
  { client }: Connection,
  resource: DiscoveredResource,
  key: ObjectKey,
  signal: AbortSignal,
): Promise<KubeObject> {
  const object = (await client.get(resource, key, { signal })) as KubeObject;
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind } as KubeObject;
}

/** Runs `one` for each; a failure is printed, the others go on, and the last failure ends the command, as in kubectl. */
export async function forEachFound(
  found: readonly FoundObject[],
  context: CliContext,
  one: (item: FoundObject) => Promise<void>,
): Promise<void> {
  let last: unknown;
  for (const item of found) {
    try {
      await one(item);
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (last !== undefined) context.stderr.write(`${describeError(last)}\n`);
      last = error;
    }
  }
  if (last !== undefined) throw last;
}
