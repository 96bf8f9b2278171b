/**
 * A guarded change by the server itself (binding, finalize, disruption counts): no decoding, defaulting or tracking of
 * fields, only the change and the write.
 */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { keyIn, qualifiedOf, type Resource } from "../registry/resource.ts";
import type { StoredObject, UpdateResult } from "../storage/types.ts";
import { decodeStored, encodeForStorage } from "./object-codec.ts";

export interface MutateOptions {
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Reads, lets `change` alter its copy (or throw a StatusError), and writes; `change` may run several times. "remove"
 * takes the object away instead. A dry run decides and writes nothing.
 */
export async function mutateObject<T extends KubeObject>(
  resource: Resource<T>,
  at: { readonly namespace: string; readonly name: string },
  change: (object: T) => "remove" | "write" | "keep",
  options: MutateOptions = {},
): Promise<UpdateResult> {
  const { descriptor, storage } = resource;
  if (storage === undefined) throw statusErrors.methodNotSupported(qualifiedOf(descriptor), "update");
  const key = keyIn(descriptor.ref, at.namespace, at.name);
  const decide = (current: StoredObject | undefined) => {
    if (current === undefined) throw statusErrors.notFound(qualifiedOf(descriptor), at.name);
    const object = decodeStored(descriptor, current);
    switch (change(object)) {
      case "remove":
        return { kind: "delete" } as const;
      case "keep":
        return { kind: "keep" } as const;
      default:
        return { kind: "write", bytes: encodeForStorage(descriptor, object) } as const;
    }
  };
  if (options.dryRun === true) {
    const current = await storage.get(key);
    decide(current);
    return { outcome: "unchanged", object: current };
  }
  return storage.update(key, decide, options.signal === undefined ? {} : { signal: options.signal });
}
