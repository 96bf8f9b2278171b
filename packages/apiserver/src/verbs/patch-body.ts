/** A patch's body applied to an object's JSON. Pure; errors are ready for the client. */
import { kindSchema } from "@knarr/api/schema.ts";
import { parseJson } from "@knarr/apimachinery/json.ts";
import { applyJsonPatch } from "@knarr/apimachinery/json-patch.ts";
import { applyMergePatch } from "@knarr/apimachinery/merge-patch.ts";
import { PatchError } from "@knarr/apimachinery/patch-error.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { applyStrategicMergePatch } from "@knarr/apimachinery/strategic-merge-patch.ts";
import { parseMediaType } from "../http/media-type.ts";

export type PatchType = "json" | "merge" | "strategic" | "apply";

const TYPES: Readonly<Record<string, PatchType>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
  "application/apply-patch+yaml": "apply",
};

/** Throws 415 for anything that is no patch type. */
export function patchTypeOf(contentType: string): PatchType {
  const { type } = parseMediaType(contentType);
  const found = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (found === undefined) throw statusErrors.unsupportedMediaType(Object.keys(TYPES));
  return found;
}

/** The patched document, a new one. Throws 400 for a malformed patch and 422 for one that doesn't fit. */
export function applyPatch(
  type: Exclude<PatchType, "apply">,
  body: Buffer,
  current: unknown,
  kind: { readonly group: string; readonly version: string; readonly kind: string },
): unknown {
  let patch: unknown;
  try {
    patch = parseJson(body);
  } catch (error) {
    throw statusErrors.badRequest(`error decoding patch: ${(error as Error).message}`);
  }
  try {
    switch (type) {
      case "json":
        return applyJsonPatch(current, patch);
      case "merge":
        return applyMergePatch(current, requireObject(patch));
      case "strategic": {
        const schema = kindSchema(kind.group, kind.version, kind.kind);
        if (schema === undefined) throw statusErrors.unsupportedMediaType([]);
        return applyStrategicMergePatch(current as JsonObject, requireObject(patch), schema);
      }
      default:
        throw new Error(`unknown patch type ${type satisfies never}`);
    }
  } catch (error) {
    if (error instanceof PatchError) throw patchFailure(error);
    // The patches recurse as deep as the document; what the parser let through may still be too deep for that.
    if (error instanceof RangeError) throw statusErrors.badRequest("the patch is nested too deeply");
    throw error;
  }
}

function requireObject(patch: unknown): JsonObject {
  if (!isJsonObject(patch)) throw statusErrors.badRequest("the patch must be a JSON object");
  return patch;
}

/** Source: handlers/patch.go: NewGenericServerResponse(422) for what does not apply. */
function patchFailure(error: PatchError): StatusError {
  if (error.kind === "malformed") return statusErrors.badRequest(error.message);
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: "the server rejected our request due to an error in our request",
    reason: "Invalid",
    // Which operation it was is not said: tools tell a lost race of theirs by exactly this.
    details: {},
    code: 422,
  });
}
