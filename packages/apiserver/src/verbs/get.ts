/** GET of one object: the cache's bytes as they are, or shown as a Table or metadata only. */
import { representationFor } from "../http/media-type.ts";
import { sendBytes } from "../http/respond.ts";
import { keyIn } from "../registry/resource.ts";
import { showObject } from "../tables/show.ts";
import type { ResourceRequest } from "./environment.ts";
import { storageOf } from "./write.ts";

export async function getObject(request: ResourceRequest): Promise<void> {
  const { context, resource } = request;
  const representation = representationFor(context);
  const resourceVersion = context.query.get("resourceVersion");
  const stored = await storageOf(request).get(keyIn(resource.descriptor.ref, request.namespace, request.name), {
    ...(resourceVersion === null || resourceVersion === "" ? {} : { resourceVersion }),
  });
  const { body, contentType } = showObject(request, stored, representation);
  await sendBytes(context, 200, body, { contentType });
}
