/**
 * What must still exist for a ServiceAccount token to be good: the account, and the pod, node or Secret that it is bound to.
 * The interface belongs to the token authenticator; the adapter below reads views, and the store when a view does not know the object
 * yet (a token may be used within the moment of its pod's creation, on another server).
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod, Secret, ServiceAccount } from "@knarr/api/generated/types/core-v1.ts";
import type { ObjectKey, ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Storage } from "../storage/storage.ts";
import type { ObjectView, ResourceStorage } from "../storage/types.ts";

export interface BoundObject {
  readonly uid: string;
  /** Epoch ms of metadata.deletionTimestamp, if it is being deleted. */
  readonly deletionMs: number | undefined;
}

export interface BoundPod extends BoundObject {
  readonly serviceAccountName: string;
  readonly nodeName: string;
}

export interface BoundSecret extends BoundObject {
  readonly type: string;
  /** data.token, decoded. */
  readonly token: Buffer;
  readonly data: Readonly<Record<string, string>>;
}

export interface TokenObjects {
  serviceAccount(key: ObjectKey): Promise<BoundObject | undefined>;
  pod(key: ObjectKey): Promise<BoundPod | undefined>;
  node(name: string): Promise<BoundObject | undefined>;
  secret(key: ObjectKey): Promise<BoundSecret | undefined>;
}

const boundObject = (object: unknown): BoundObject => {
  const { uid = "", deletionTimestamp } = (object as ServiceAccount | Node).metadata;
  return { uid, deletionMs: deletionTimestamp === undefined ? undefined : Date.parse(deletionTimestamp) };
};
const boundPod = (object: unknown): BoundPod => {
  const { spec } = object as Pod;
  return { ...boundObject(object), serviceAccountName: spec?.serviceAccountName ?? "", nodeName: spec?.nodeName ?? "" };
};
const boundSecret = (object: unknown): BoundSecret => {
  const { type = "", data = {} } = object as Secret;
  return { ...boundObject(object), type, token: Buffer.from(data.token ?? "", "base64"), data };
};

/** Over a storage in which serviceaccounts, pods, nodes and secrets are registered. */
export function storageTokenObjects(storage: Storage): TokenObjects {
  const serviceAccounts = finder(storage, core.serviceaccounts, boundObject);
  const pods = finder(storage, core.pods, boundPod);
  const nodes = finder(storage, core.nodes, boundObject);
  const secrets = storage.resource({ ref: core.secrets });
  return {
    serviceAccount: serviceAccounts,
    pod: pods,
    node: (name) => nodes({ namespace: "", name }),
    // Not kept parsed: what is decoded of a Secret should not stay in memory.
    secret: (key) => fromStore(secrets, key, boundSecret),
  };
}

function finder<T extends object>(
  storage: Storage,
  ref: ResourceRef<unknown>,
  project: (object: unknown) => T,
): (key: ObjectKey) => Promise<T | undefined> {
  const resource = storage.resource({ ref });
  const view: ObjectView<T> = storage.view(ref as ResourceRef<T>, { project });
  return async (key) => (view.synced ? view.get(key) : undefined) ?? (await fromStore(resource, key, project));
}

async function fromStore<T>(
  resource: ResourceStorage,
  key: ObjectKey,
  project: (object: unknown) => T,
): Promise<T | undefined> {
  try {
    return project(JSON.parse((await resource.get(key)).bytes.toString()));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
