/** For tests of kinds: objects as a client would send them, taken through the descriptor as the handler does. */
import assert from "node:assert/strict";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { KindDescriptor } from "../descriptor.ts";
import { allKinds } from "./index.ts";

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: object;
  readonly [field: string]: unknown;
}

export function kindOf(manifest: { readonly apiVersion: string; readonly kind: string }): KindDescriptor {
  const found = allKinds.find((k) => k.ref.kind === manifest.kind && apiVersionOf(k.ref) === manifest.apiVersion);
  assert.ok(found !== undefined, `${manifest.apiVersion} ${manifest.kind} is a kind`);
  return found;
}

/** The object as it would be stored; what validation says is the second. */
export function created(manifest: Manifest): { object: KubeObject; errors: string[] } {
  const kind = kindOf(manifest);
  const namespace = kind.ref.namespaced ? { namespace: "default" } : {};
  const object = {
    ...structuredClone(manifest),
    metadata: { ...namespace, ...manifest.metadata },
  } as unknown as KubeObject;
  kind.default(object);
  kind.prepareForCreate(object);
  return { object, errors: kind.validate(object).map((e) => `${e.field}: ${e.message}`) };
}

/** What an update from one manifest to another, both already stored forms, says. */
export function updated(
  before: KubeObject,
  change: (object: KubeObject) => void,
  subresource = "",
): { object: KubeObject; errors: string[] } {
  const kind = kindOf({ apiVersion: before.apiVersion ?? "", kind: before.kind ?? "" });
  const old = structuredClone(before);
  old.metadata.resourceVersion = "1";
  const object = structuredClone(old);
  change(object);
  kind.default(object);
  kind.prepareForUpdate(object, old, subresource);
  const errors = kind.validateUpdate(object, old, subresource);
  return { object, errors: errors.map((e) => `${e.field}: ${e.message}`) };
}
