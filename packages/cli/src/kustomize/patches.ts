/** Patches of a kustomization: strategic merges and JSON patches, by target or by the patch's own name. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { parseAllDocuments } from "yaml";
import { patchLocally } from "../local-patch.ts";
import { CliError } from "../verb.ts";
import { type Item, originalName, rememberName } from "./item.ts";

export interface PatchEntry {
  readonly path?: string;
  readonly patch?: string;
  readonly target?: {
    readonly group?: string;
    readonly version?: string;
    readonly kind?: string;
    readonly name?: string;
    readonly namespace?: string;
    readonly labelSelector?: string;
    readonly annotationSelector?: string;
  };
}

/** Changes the items in place. Throws CliError when a patch fits none of them. */
export function patchObjects(items: Item[], entry: PatchEntry, folder: string): void {
  const text = entry.path === undefined ? (entry.patch ?? "") : readFileSync(resolve(folder, entry.path), "utf8");
  const documents = parseAllDocuments(text);
  for (const document of Array.isArray(documents) ? documents : []) {
    const body: unknown = document.toJS();
    if (body === null || body === undefined) continue;
    const isJson = Array.isArray(body);
    if (isJson && entry.target === undefined) throw new CliError("must specify a target for JSON patch");
    const found = items.filter((item) =>
      entry.target === undefined ? isSame(item, body as Item) : fits(item, entry.target),
    );
    if (found.length === 0 && entry.target === undefined) {
      const { kind, metadata } = body as Item;
      throw new CliError(
        `no matches for Id ${kind}.${metadata?.name ?? ""}; failed to find unique target for patch ${kind}.${metadata?.name ?? ""}`,
      );
    }
    for (const item of found) apply(items, item, isJson ? "json" : "strategic", body);
  }
}

function apply(items: Item[], item: Item, type: string, body: unknown): void {
  const at = items.indexOf(item);
  if (type === "strategic" && (body as { $patch?: string }).$patch === "delete") {
    items.splice(at, 1);
    return;
  }
  const name = item.metadata.name;
  const patched = patchLocally(
    item as KubeObject,
    type,
    type === "strategic" ? { ...(body as object), apiVersion: item.apiVersion, kind: item.kind } : body,
  ) as Item;
  // A strategic merge finds its object by name; it doesn't rename it.
  if (type === "strategic" && name !== undefined) patched.metadata.name = name;
  rememberName(patched, originalName(item));
  items[at] = patched;
}

function isSame(item: Item, patch: Item): boolean {
  const sameNamespace = patch.metadata?.namespace === undefined || patch.metadata.namespace === item.metadata.namespace;
  return (
    item.kind === patch.kind &&
    originalName(item) === patch.metadata?.name &&
    sameNamespace &&
    item.apiVersion === patch.apiVersion
  );
}

/** Names and kinds of a target are regular expressions over the whole text. */
function fits(item: Item, target: NonNullable<PatchEntry["target"]>): boolean {
  const whole = (pattern: string | undefined, text: string) =>
    pattern === undefined || new RegExp(`^(?:${pattern})$`).test(text);
  const slash = item.apiVersion.indexOf("/");
  const labels = item.metadata.labels as Record<string, string> | undefined;
  const annotations = item.metadata.annotations as Record<string, string> | undefined;
  return (
    whole(target.group, slash < 0 ? "" : item.apiVersion.slice(0, slash)) &&
    whole(target.version, item.apiVersion.slice(slash + 1)) &&
    whole(target.kind, item.kind) &&
    whole(target.name, originalName(item)) &&
    whole(target.namespace, item.metadata.namespace ?? "default") &&
    (target.labelSelector === undefined || parseLabelSelector(target.labelSelector).matches(labels ?? {})) &&
    (target.annotationSelector === undefined ||
      parseLabelSelector(target.annotationSelector).matches(annotations ?? {}))
  );
}
