/** Patches applied here instead of by the server: --local, --dry-run=client, and what client-side apply sends. */
import { kindSchema } from "@knarr/api/schema.ts";
import { applyJsonPatch } from "@knarr/apimachinery/json-patch.ts";
import { applyMergePatch } from "@knarr/apimachinery/merge-patch.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { JsonObject, StructSchema } from "@knarr/apimachinery/schema.ts";
import { applyStrategicMergePatch } from "@knarr/apimachinery/strategic-merge-patch.ts";

/** The fields of a built-in kind; undefined for custom resources, which know no strategic merge. */
export function schemaOf(object: { readonly apiVersion?: string; readonly kind?: string }): StructSchema | undefined {
  const { apiVersion = "", kind = "" } = object;
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  return kindSchema(group, apiVersion.slice(slash + 1), kind) as StructSchema | undefined;
}

/** Throws a patch error in upstream's words where the patch doesn't fit. */
export function patchLocally(object: KubeObject, type: string, body: unknown): KubeObject {
  const schema = schemaOf(object as { apiVersion?: string });
  if (type === "json") return applyJsonPatch(object, body) as KubeObject;
  if (type === "merge" || schema === undefined) return applyMergePatch(object, body) as KubeObject;
  return applyStrategicMergePatch(object as unknown as JsonObject, body as JsonObject, schema) as unknown as KubeObject;
}
