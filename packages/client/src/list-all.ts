/** All pages of a list as one. */
import type { KubeList } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isExpired } from "@knarr/apimachinery/status-error.ts";
import type { Client, ListOptions } from "./client.ts";

const PAGE = 500;

/**
 * The first page's version pins the others. When the server compacted it meanwhile (410), everything is listed once
 * more without pages, so that the result is consistent.
 */
export async function listAll<T>(client: Client, ref: ResourceRef<T>, options: ListOptions = {}): Promise<KubeList<T>> {
  const first = await client.list(ref, { ...options, limit: options.limit ?? PAGE });
  const items = first.items;
  let token = first.metadata.continue ?? "";
  try {
    while (token !== "") {
      const { resourceVersion: _version, resourceVersionMatch: _match, ...rest } = options;
      const page = await client.list(ref, { ...rest, limit: options.limit ?? PAGE, continue: token });
      for (const item of page.items) items.push(item);
      token = page.metadata.continue ?? "";
    }
  } catch (error) {
    if (!isExpired(error)) throw error;
    const { limit: _limit, ...rest } = options;
    return client.list(ref, rest);
  }
  const { continue: _continue, remainingItemCount: _remaining, ...metadata } = first.metadata;
  return { ...first, metadata, items };
}
