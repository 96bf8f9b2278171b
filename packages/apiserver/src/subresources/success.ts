/** The Status that answers a write which returns no object. */
import { sendObject } from "../http/respond.ts";
import type { ResourceRequest } from "../verbs/environment.ts";

export function sendSuccess(request: ResourceRequest, code = 201): Promise<void> {
  return sendObject(request.context, code, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code });
}
