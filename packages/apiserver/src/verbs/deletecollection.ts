/** DELETE of a collection: every object that the selector matches, a few at a time; answers with the list. */
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { representationFor } from "../http/media-type.ts";
import type { StoredObject } from "../storage/types.ts";
import { removeObject } from "./delete.ts";
import { parseDeleteOptions } from "./delete-options.ts";
import type { ResourceRequest } from "./environment.ts";
import { sendPage } from "./list.ts";
import { parseListQuery, storeListOptions } from "./list-options.ts";
import { storageOf } from "./write.ts";

/** Deletions under way at once. */
const WORKERS = 8;

export async function deleteCollection(request: ResourceRequest): Promise<void> {
  const { context, resource, namespace } = request;
  const representation = representationFor(context);
  const options = parseDeleteOptions(context.query, await readBody(context), context.header("content-type"));
  const query = parseListQuery(context.query, resource, { namespace, name: "", watch: false });
  const page = await storageOf(request).list(storeListOptions(query));
  const items = page.items.values();
  const failures: unknown[] = [];
  const work = async () => {
    for (const item of items) {
      if (failures.length > 0) return;
      try {
        await removeObject(oneOf(request, item), options);
      } catch (error) {
        // Gone already is what was asked for.
        if (!isNotFound(error)) failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  if (failures.length > 0) throw failures[0];
  await sendPage(request, page, { ...representation, transform: "none" });
}

function oneOf(request: ResourceRequest, item: StoredObject): ResourceRequest {
  return { ...request, namespace: item.key.namespace, name: item.key.name };
}
