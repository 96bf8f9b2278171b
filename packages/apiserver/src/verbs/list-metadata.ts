/** ListMeta of a page. */
import type { ListPage } from "../storage/types.ts";

export function listMetadata(page: ListPage): Record<string, unknown> {
  return {
    resourceVersion: page.resourceVersion,
    ...(page.continueToken === undefined ? {} : { continue: page.continueToken }),
    ...(page.remainingItemCount === undefined ? {} : { remainingItemCount: page.remainingItemCount }),
  };
}
