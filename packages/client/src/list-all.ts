/** All pages of a list as one. */
import type { KubeList } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isExpired } from "@knarr/apimachinery/status-error.ts";
import type { Client, ListOptions } from "./client.ts";

const PAGE = 500;

/**
 * The first page's version pins the others. When the server compacted it meanwhile (410), everything is listed once
 * more without pages, so that the result is consistent. `keep` makes of each item what is kept of it, page by page.
 */
export async function listAll<T>(
  client: Client,
  ref: ResourceRef<T>,
  options: ListOptions = {},
  keep: (item: T) => T = (item) => item,
): Promise<KubeList<T>> {
  const first = await client.list(ref, { ...options, limit: options.limit ?? PAGE });
  const items = keepEach(first.items, keep);
  let token = first.metadata.continue ?? "";
  try {
    while (token !== "") {
      const { resourceVersion: _version, resourceVersionMatch: _match, ...rest } = options;
      const page = await client.list(ref, { ...rest, limit: options.limit ?? PAGE, continue: token });
      for (const item of page.items) items.push(keep(item));
      token = page.metadata.continue ?? "";
    }
  } catch (error) {
    if (!isExpired(error)) throw error;
    const { limit: _limit, ...rest } = options;
    const list = await client.list(ref, rest);
    return { ...list, items: keepEach(list.items, keep) };
  }
  const { continue: _continue, remainingItemCount: _remaining, ...metadata } = first.metadata;
  return { ...first, metadata, items };
}

/** In place, so that what was sent can go while the rest is still being prepared. */
function keepEach<T>(items: T[], keep: (item: T) => T): T[] {
  for (const [i, item] of items.entries()) items[i] = keep(item);
  return items;
}
