/** An object on its way through a kustomization, and the name that it had before prefixes and hashes. */
import type { Manifest } from "../core/manifests.ts";

export type Item = Manifest["object"] & { metadata: { name?: string; namespace?: string } };

const originals = new WeakMap<Item, string>();

/** What patches, references and behavior: merge call it. */
export function originalName(item: Item): string {
  return originals.get(item) ?? item.metadata.name ?? "";
}

export function rememberName(item: Item, name: string): void {
  originals.set(item, name);
}
