/** serviceaccounts/NAME/token */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceRequest } from "../verbs/environment.ts";

export async function createToken(_request: ResourceRequest): Promise<void> {
  throw statusErrors.pathNotFound();
}
