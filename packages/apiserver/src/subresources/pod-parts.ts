/**
 * pods/ephemeralcontainers and pods/resize: the generic handler with the descriptor's rules for that subresource.
 * Source: KEP-277, KEP-1287
 */

import type { ResourceRequest } from "../verbs/environment.ts";
import { getObject } from "../verbs/get.ts";
import { patch } from "../verbs/patch.ts";
import { update } from "../verbs/update.ts";

type Handlers = Readonly<Record<string, (request: ResourceRequest) => Promise<void>>>;

export const ephemeralContainers: Handlers = { get: getObject, update, patch };
export const resize: Handlers = { get: getObject, update, patch };
