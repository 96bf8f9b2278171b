/** Makes the Resource of every descriptor: its storage, shared by the versions of one kind, and its hooks. */
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { Storage } from "../storage/storage.ts";
import type { ResourceStorage } from "../storage/types.ts";
import { type HookTools, hooksFor } from "./hooks.ts";
import { type Resource, ResourceIndex } from "./resource.ts";

/** Upstream's own prefix in descriptors; the server's --etcd-prefix takes its place. */
const ROOT = "/registry/";

export function buildResources(
  descriptors: readonly KindDescriptor[],
  storage: Storage,
  options: { readonly hooks: HookTools; readonly eventTtlSeconds: number },
): ResourceIndex {
  const homes = new Map<string, ResourceStorage>();
  for (const descriptor of descriptors) {
    const location = descriptor.storage;
    if (location === undefined || !isHome(descriptor)) continue;
    homes.set(
      location.prefix,
      storage.resource({
        ref: descriptor.ref,
        folder: location.prefix.slice(ROOT.length),
        fieldsOf: fieldsOfAll(descriptors.filter((other) => other.storage?.prefix === location.prefix)),
        ...(location.expires ? { ttlSeconds: options.eventTtlSeconds } : {}),
      }),
    );
  }
  return new ResourceIndex(
    descriptors.map((descriptor): Resource => {
      const home = descriptor.storage === undefined ? undefined : homes.get(descriptor.storage.prefix);
      if (descriptor.storage !== undefined && home === undefined) {
        throw new Error(`no served version stores ${descriptor.ref.kind} at ${descriptor.storage.prefix}`);
      }
      return {
        descriptor,
        storage: home,
        servesStoredBytes: isHome(descriptor),
        hooks: hooksFor(descriptor.ref, options.hooks),
      };
    }),
  );
}

/** Selectable fields under the names of every version that shares the storage. */
function fieldsOfAll(descriptors: readonly KindDescriptor[]): (object: unknown) => Record<string, string> {
  const [only] = descriptors;
  if (descriptors.length === 1 && only !== undefined) return (object) => ({ ...only.fieldsOf(object as KubeObject) });
  return (object) =>
    Object.assign(
      {},
      ...descriptors.map((descriptor) => descriptor.fieldsOf(descriptor.fromStored(object as KubeObject))),
    );
}

/** Whether the kind is stored in this very version. */
function isHome(descriptor: KindDescriptor): boolean {
  const { storage, ref } = descriptor;
  return storage !== undefined && storage.apiVersion === apiVersionOf(ref) && storage.kind === ref.kind;
}
