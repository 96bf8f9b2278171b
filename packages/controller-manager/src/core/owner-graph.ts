/**
 * Who owns whom, over all objects of the cluster: the garbage collector's memory. Pure; every change answers which objects
 * have to be looked at.
 *
 *   Deployment <--owner-- ReplicaSet <--owner-- Pod, Pod
 *
 * A node is *virtual* while it is known only from the references of its dependents: its owner may be absent, or just not
 * seen yet. Whoever collects finds out by asking the server, and tells `forget` when it is absent.
 * Source: kubernetes/pkg/controller/garbagecollector/graph_builder.go
 */
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";

export const FOREGROUND_FINALIZER = "foregroundDeletion";
export const ORPHAN_FINALIZER = "orphan";

export interface Identity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface GraphNode {
  readonly identity: Identity;
  readonly virtual: boolean;
  readonly owners: readonly OwnerReference[];
  /** Uids of the nodes that name this one as an owner. */
  readonly dependents: ReadonlySet<string>;
  readonly deleting: boolean;
  /** Deleted in the foreground: waits for its dependents. */
  readonly foreground: boolean;
  /** Deleted with its dependents to be orphaned first. */
  readonly orphaning: boolean;
}

interface MutableNode extends GraphNode {
  identity: Identity;
  virtual: boolean;
  owners: readonly OwnerReference[];
  readonly dependents: Set<string>;
  deleting: boolean;
  foreground: boolean;
  orphaning: boolean;
}

/** Uids to look at. */
export interface Effects {
  readonly toDelete: readonly string[];
  readonly toOrphan: readonly string[];
}

export class OwnerGraph {
  readonly #nodes = new Map<string, MutableNode>();

  get size(): number {
    return this.#nodes.size;
  }

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  /** An object was added or has changed. It has apiVersion and kind. */
  observe(object: KubeObject): Effects {
    const { metadata } = object;
    const uid = metadata.uid ?? "";
    const identity: Identity = {
      apiVersion: object.apiVersion ?? "",
      kind: object.kind ?? "",
      namespace: metadata.namespace ?? "",
      name: metadata.name ?? "",
      uid,
    };
    const toDelete: string[] = [];
    const node = this.#nodes.get(uid) ?? this.#insert(identity);
    if (node.virtual) {
      node.identity = identity;
      node.virtual = false;
      // References that describe it wrongly (another namespace, say) mean an owner that doesn't exist.
      toDelete.push(...[...node.dependents].filter((dependent) => !this.#agrees(dependent, identity)));
    }
    toDelete.push(...this.#setOwners(node, metadata.ownerReferences ?? []));
    const finalizers = metadata.finalizers ?? [];
    const wasForeground = node.foreground;
    const wasOrphaning = node.orphaning;
    node.deleting = metadata.deletionTimestamp !== undefined;
    node.foreground = node.deleting && finalizers.includes(FOREGROUND_FINALIZER);
    node.orphaning = node.deleting && finalizers.includes(ORPHAN_FINALIZER);
    if (node.foreground && !wasForeground) toDelete.push(...node.dependents, uid);
    return { toDelete, toOrphan: node.orphaning && !wasOrphaning ? [uid] : [] };
  }

  /** An object is gone: deleted, or never there. Its dependents have to be looked at, and owners that waited for it. */
  forget(uid: string): Effects {
    const node = this.#nodes.get(uid);
    if (node === undefined) return { toDelete: [], toOrphan: [] };
    this.#nodes.delete(uid);
    const toDelete = [...node.dependents];
    for (const { uid: owner } of node.owners) {
      const ownerNode = this.#nodes.get(owner);
      ownerNode?.dependents.delete(uid);
      if (ownerNode?.foreground === true) toDelete.push(owner);
      // Nobody refers to it any more, and nobody has seen it.
      if (ownerNode?.virtual === true && ownerNode.dependents.size === 0) this.#nodes.delete(owner);
    }
    return { toDelete, toOrphan: [] };
  }

  /** Dependents that an owner deleted in the foreground has to wait for. */
  blockingDependents(uid: string): readonly GraphNode[] {
    return [...(this.#nodes.get(uid)?.dependents ?? [])]
      .map((dependent) => this.#nodes.get(dependent))
      .filter((node) => node !== undefined)
      .filter(({ owners }) => owners.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true));
  }

  #insert(identity: Identity): MutableNode {
    const node: MutableNode = {
      identity,
      virtual: true,
      owners: [],
      dependents: new Set(),
      deleting: false,
      foreground: false,
      orphaning: false,
    };
    this.#nodes.set(identity.uid, node);
    return node;
  }

  #setOwners(node: MutableNode, owners: readonly OwnerReference[]): string[] {
    const { uid, namespace } = node.identity;
    const toDelete: string[] = [];
    for (const old of node.owners) {
      const now = owners.find((owner) => owner.uid === old.uid);
      const owner = this.#nodes.get(old.uid);
      if (now === undefined) owner?.dependents.delete(uid);
      const unblocked = old.blockOwnerDeletion === true && now?.blockOwnerDeletion !== true;
      if (owner?.foreground === true && (now === undefined || unblocked)) toDelete.push(old.uid);
    }
    const known = new Set(node.owners.map((owner) => owner.uid));
    node.owners = owners;
    for (const reference of owners) {
      const { apiVersion, kind, name, uid: ownerUid } = reference;
      let owner = this.#nodes.get(ownerUid);
      if (owner === undefined) {
        owner = this.#insert({ apiVersion, kind, name, namespace, uid: ownerUid });
        toDelete.push(ownerUid);
      }
      owner.dependents.add(uid);
      // A new dependent of an owner that is going, or of one that is described wrongly.
      const isNew = !known.has(ownerUid);
      if (isNew && (owner.foreground || (!owner.virtual && !describes(reference, namespace, owner.identity)))) {
        toDelete.push(uid);
      }
    }
    return toDelete;
  }

  #agrees(dependentUid: string, identity: Identity): boolean {
    const dependent = this.#nodes.get(dependentUid);
    const reference = dependent?.owners.find(({ uid }) => uid === identity.uid);
    if (dependent === undefined || reference === undefined) return true;
    return describes(reference, dependent.identity.namespace, identity);
  }
}

/** Whether a reference from an object in `namespace` names the object that it should: the version may differ. */
function describes(reference: OwnerReference, namespace: string, identity: Identity): boolean {
  return (
    groupOf(reference.apiVersion) === groupOf(identity.apiVersion) &&
    reference.kind === identity.kind &&
    reference.name === identity.name &&
    (identity.namespace === "" || identity.namespace === namespace)
  );
}

/** "apps" of "apps/v1", "" of "v1". */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}
