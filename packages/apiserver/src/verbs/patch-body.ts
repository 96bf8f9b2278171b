/** A patch's body applied to an object's JSON. Pure; errors are ready for the client. */
import { kindSchema } from "@knarr/api/schema.ts";
import { findDuplicateKeys } from "@knarr/apimachinery/duplicate-keys.ts";
import { quoteGo } from "@knarr/apimachinery/go-text.ts";
import { goText } from "@knarr/apimachinery/go-value.ts";
import { parseJson } from "@knarr/apimachinery/json.ts";
import { applyJsonPatch } from "@knarr/apimachinery/json-patch.ts";
import { applyMergePatch } from "@knarr/apimachinery/merge-patch.ts";
import { PatchError } from "@knarr/apimachinery/patch-error.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { applyStrategicMergePatch } from "@knarr/apimachinery/strategic-merge-patch.ts";
import { hasNoDuplicates } from "@knarr/apimachinery/strict-decode.ts";
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

export interface Patched {
  /** A new document. */
  readonly document: unknown;
  /** What strict validation says of the patch itself. */
  readonly complaints: readonly string[];
  /** The patch as Go prints the map that it has made of it, for errors; undefined when it took the way of JSON. */
  readonly patchMap: (() => string) | undefined;
}

/** Throws 400 for a malformed patch and 422 for one that doesn't fit. Source: handlers/patch.go applyJSPatch, strategicPatchObject */
export function applyPatch(
  type: Exclude<PatchType, "apply">,
  body: Buffer,
  current: unknown,
  kind: { readonly group: string; readonly version: string; readonly kind: string },
): Patched {
  const text = body.toString();
  const patch = parsePatch(type, text);
  try {
    switch (type) {
      case "json":
        if (!Array.isArray(patch)) return { document: current, complaints: [], patchMap: undefined };
        return {
          document: applyJsonPatch(current, patch),
          complaints: operationComplaints(patch, text),
          patchMap: undefined,
        };
      case "merge":
        if (patch === null) throw statusErrors.badRequest("Invalid JSON Patch");
        return {
          document: applyMergePatch(current, patch as JsonObject),
          complaints: duplicateComplaints(text, patch),
          patchMap: undefined,
        };
      case "strategic": {
        const schema = kindSchema(kind.group, kind.version, kind.kind);
        if (schema === undefined) throw statusErrors.unsupportedMediaType([]);
        const map = (patch ?? {}) as JsonObject;
        const document = applyStrategicMergePatch(current as JsonObject, map, schema);
        return { document, complaints: duplicateComplaints(text, patch), patchMap: () => goText(map) };
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

/** Null is nothing to Go: of a list, as of a map. */
function parsePatch(type: Exclude<PatchType, "apply">, text: string): unknown {
  const fail = (why: string) => statusErrors.badRequest(type === "strategic" ? why : `error decoding patch: ${why}`);
  let patch: unknown;
  try {
    patch = parseJson(text);
  } catch (error) {
    throw fail((error as Error).message);
  }
  if (patch === null || (type === "json" ? Array.isArray(patch) : isJsonObject(patch))) return patch;
  const into = type === "json" ? "[]handlers.jsonPatchOp" : "map[string]interface {}";
  throw fail(`json: cannot unmarshal ${jsonKind(patch)} into Go value of type ${into}`);
}

function jsonKind(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return typeof value === "bigint" ? "number" : typeof value;
}

function duplicateComplaints(text: string, parsed: unknown): string[] {
  if (hasNoDuplicates(text, parsed)) return [];
  return findDuplicateKeys(text).map((path) => `duplicate field ${quoteGo(path)}`);
}

const OPERATION_FIELDS = ["op", "path", "from", "value"];

function operationComplaints(patch: readonly unknown[], text: string): string[] {
  const unknown = patch.flatMap((operation, i) =>
    Object.keys(isJsonObject(operation) ? operation : {})
      .filter((field) => !OPERATION_FIELDS.includes(field))
      .map((field) => `json patch unknown field ${quoteGo(`[${i}].${field}`)}`),
  );
  return [...unknown, ...duplicateComplaints(text, patch).map((complaint) => `json patch ${complaint}`)];
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
