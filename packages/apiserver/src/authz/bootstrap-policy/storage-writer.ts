/**
 * Writes policy objects straight into the storage: the server's own act at its start, below authorization and admission, which do not
 * stand yet. Sets what every stored object has: uid, creationTimestamp.
 */
import { randomUUID } from "node:crypto";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { stringifyJson } from "@knarr/apimachinery/json.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ResourceStorage, StoredObject } from "../../storage/types.ts";
import type { PolicyWriter } from "./reconcile.ts";

/** `resourceOf` finds the storage of a resource (`storage.resource({ ref })`). Conflicts are thrown as StatusError. */
export function storagePolicyWriter(
  resourceOf: (ref: ResourceRef<unknown>) => ResourceStorage,
  clock: Clock,
): PolicyWriter {
  return {
    async get<T>(ref: ResourceRef<T>, key: ObjectKey): Promise<T | undefined> {
      try {
        return parsed<T>(await resourceOf(ref).get(key));
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    async list<T>(ref: ResourceRef<T>): Promise<readonly T[]> {
      return (await resourceOf(ref).list({})).items.map((item) => parsed<T>(item));
    },
    async create<T>(ref: ResourceRef<T>, object: T): Promise<void> {
      const { metadata, ...rest } = object as { metadata: ObjectMeta };
      const whole = {
        ...rest,
        metadata: { ...metadata, uid: randomUUID(), creationTimestamp: rfc3339Seconds(clock.now()) },
      };
      await resourceOf(ref).create(keyOf({ metadata }), bytesOf(whole));
    },
    async update<T>(ref: ResourceRef<T>, object: T): Promise<void> {
      const { metadata, ...rest } = object as { metadata: ObjectMeta };
      const { resourceVersion: _, ...kept } = metadata;
      await resourceOf(ref).update(keyOf({ metadata }), () => ({
        kind: "write",
        bytes: bytesOf({ ...rest, metadata: kept }),
      }));
    },
    async delete<T>(ref: ResourceRef<T>, key: ObjectKey): Promise<void> {
      await resourceOf(ref).delete(key);
    },
  };
}

function parsed<T>(object: StoredObject): T {
  return JSON.parse(object.bytes.toString()) as T;
}

function bytesOf(object: unknown): Buffer {
  return Buffer.from(stringifyJson(object));
}
