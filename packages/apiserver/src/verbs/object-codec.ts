/**
 * Between objects and the bytes that are stored and served. Stored bytes carry kind and apiVersion first, then metadata
 * (so that the resourceVersion can be spliced in cheaply), and never a resourceVersion.
 */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import { escapedForGo, parseStoredJson, stringifyJson } from "@knarr/apimachinery/json.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { StoredObject } from "../storage/types.ts";

/** A fresh, mutable object in the resource's own version, with its resourceVersion. */
export function decodeStored<T extends KubeObject>(descriptor: KindDescriptor<T>, stored: StoredObject): T {
  return descriptor.fromStored(parseStoredJson(stored.bytes) as KubeObject);
}

/** Gives `first` once and then what `again` makes: most writes need their object once, and a copy costs as much as decoding it. */
export function onceThenAgain<T>(first: T, again: () => T): () => T {
  let isTaken = false;
  return () => {
    if (isTaken) return again();
    isTaken = true;
    return first;
  };
}

/** What is stored of an object. */
export function encodeForStorage<T extends KubeObject>(descriptor: KindDescriptor<T>, object: T): Buffer {
  const stored = descriptor.toStored(object);
  const { resourceVersion: _version, ...metadata } = stored.metadata;
  const location = descriptor.storage;
  const {
    kind: _kind,
    apiVersion: _apiVersion,
    metadata: _metadata,
    ...rest
  } = stored as KubeObject & Record<string, unknown>;
  const kind = location?.kind ?? descriptor.ref.kind;
  const apiVersion = location?.apiVersion ?? apiVersionOf(descriptor.ref);
  return Buffer.from(escapedForGo(stringifyJson({ kind, apiVersion, metadata, ...rest })));
}

/** The object as an answer shows it: kind and apiVersion first. */
export function encodeForWire(descriptor: { readonly ref: KindDescriptor["ref"] }, object: KubeObject): Buffer {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object as KubeObject & Record<string, unknown>;
  const type = { kind: descriptor.ref.kind, apiVersion: apiVersionOf(descriptor.ref) };
  return Buffer.from(escapedForGo(stringifyJson({ ...type, metadata, ...rest })));
}

/** The bytes that an answer shows for a stored object: as they are where the versions agree. */
export function servedBytes(
  resource: { readonly descriptor: KindDescriptor; readonly servesStoredBytes: boolean },
  stored: StoredObject,
): Buffer {
  if (resource.servesStoredBytes) return stored.bytes;
  return encodeForWire(resource.descriptor, decodeStored(resource.descriptor, stored));
}
