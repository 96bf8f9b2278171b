/** The answer to a write, in the representation that the client accepts. */
import { representationFor } from "../http/media-type.ts";
import { representBytes } from "../http/represent.ts";
import { sendBytes } from "../http/respond.ts";
import { showObject } from "../tables/show.ts";
import type { ResourceRequest } from "./environment.ts";
import type { WriteResult } from "./write.ts";

export async function sendWritten(request: ResourceRequest, code: number, result: WriteResult): Promise<void> {
  const representation = representationFor(request.context);
  const shown =
    result.stored !== undefined
      ? showObject(request, result.stored, representation)
      : representBytes(result.bytes, { ...representation, transform: "none" });
  await sendBytes(request.context, code, shown.body, { contentType: shown.contentType });
}
