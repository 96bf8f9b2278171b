/** Who owns which field: metadata.managedFields, kept for every write. Source: KEP-555 */
import { kindSchema } from "@knarr/api/schema.ts";
import type { ManagedFieldsEntry } from "@knarr/apimachinery/generated/meta-v1.ts";
import { serverSideApply, type TrackOptions, trackUpdate } from "@knarr/apimachinery/managed-fields.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { ResourceRequest } from "./environment.ts";

/** Mutates `object`: its managedFields after a create, update or patch by `manager`. */
export function trackFields(
  request: ResourceRequest,
  old: KubeObject | undefined,
  object: KubeObject,
  by: { readonly manager: string; readonly subresource: string },
): void {
  setManagedFields(object, trackUpdate(old, object, optionsFor(request, by)));
}

export interface Applied {
  readonly object: KubeObject;
  /** Mutates the object that will be stored: its managedFields. */
  readonly track: (stored: KubeObject) => void;
}

/** Server-side apply of a configuration to the live object, undefined to create. Throws 409 naming each conflict. */
export function applyConfiguration(
  request: ResourceRequest,
  live: KubeObject | undefined,
  config: KubeObject,
  options: { readonly manager: string; readonly force: boolean },
): Applied {
  const by = { manager: options.manager, subresource: request.subresource };
  const applied = serverSideApply(live, config, { ...optionsFor(request, by), force: options.force });
  return {
    object: applied.object,
    track: (stored) => setManagedFields(stored, applied.managedFields(stored)),
  };
}

function optionsFor(
  request: ResourceRequest,
  by: { readonly manager: string; readonly subresource: string },
): TrackOptions {
  const { descriptor } = request.resource;
  const { ref } = descriptor;
  return {
    schema: kindSchema(ref.group, ref.version, ref.kind),
    identity: { ...by, apiVersion: apiVersionOf(ref) },
    now: rfc3339Seconds(request.env.clock.now()),
    resetFields: descriptor.resetFields[by.subresource] ?? [],
  };
}

function setManagedFields(object: KubeObject, entries: ManagedFieldsEntry[]): void {
  if (entries.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = entries;
}
