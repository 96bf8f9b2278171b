/** Who owns which field: metadata.managedFields, kept for every write. Source: KEP-555 */
import { zeroStruct } from "@knarr/api/normalize.ts";
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
  const options = optionsFor(request, by);
  // A new object is compared with the zero value of its type, so that nobody owns the mere existence of its spec.
  const before = old ?? { ...zeroOf(request), metadata: {} };
  setManagedFields(object, trackUpdate(before, object, options));
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

function zeroOf(request: ResourceRequest): object {
  const { ref } = request.resource.descriptor;
  const schema = kindSchema(ref.group, ref.version, ref.kind);
  return schema === undefined ? {} : zeroStruct(schema);
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
    empty: zeroOf(request),
  };
}

function setManagedFields(object: KubeObject, entries: ManagedFieldsEntry[]): void {
  if (entries.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = entries;
}
