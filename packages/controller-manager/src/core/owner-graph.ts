/**
 * Who owns whom, over all objects of the cluster: the garbage collector's memory. Pure; every change answers which objects
 * have to be looked at.
 *
 *   Deployment <--owner-- ReplicaSet <--owner-- Pod, Pod
 *
 * A node is *virtual* while it is known only from the references of its dependents: it may be absent, or just not seen
 * yet. References can describe it differently (another namespace, another name), and at most one description is right:
 * `claims` lists them all, and whoever collects asks the server about each. An object that is gone stays as a virtual node
 * for as long as something refers to it.
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

/** A reference to an object of another namespace, or of a namespace from outside all of them: it counts as absent. */
export interface InvalidReference {
  readonly dependent: Identity;
  readonly reference: OwnerReference;
}

/** Uids to look at, and what to warn of. */
export interface Effects {
  readonly toDelete: readonly string[];
  readonly toOrphan: readonly string[];
  readonly invalid: readonly InvalidReference[];
}

/** How some dependents describe an owner that nobody has seen. */
export interface Claim {
  readonly identity: Identity;
  /** Uids. */
  readonly dependents: readonly string[];
}

const NO_EFFECTS: Effects = { toDelete: [], toOrphan: [], invalid: [] };

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
    const invalid: InvalidReference[] = [];
    const node = this.#nodes.get(uid) ?? this.#insert(identity);
    node.identity = identity;
    if (node.virtual) {
      node.virtual = false;
      for (const { dependent, reference } of this.#referencesTo(node)) {
        // References that describe it wrongly mean an owner that doesn't exist.
        if (!describes(reference, dependent.identity.namespace, identity)) toDelete.push(dependent.identity.uid);
        if (isForeign(dependent.identity.namespace, identity))
          invalid.push({ dependent: dependent.identity, reference });
      }
    }
    this.#setOwners(node, metadata.ownerReferences ?? [], { toDelete, invalid });
    const finalizers = metadata.finalizers ?? [];
    const wasForeground = node.foreground;
    const wasOrphaning = node.orphaning;
    node.deleting = metadata.deletionTimestamp !== undefined;
    node.foreground = node.deleting && finalizers.includes(FOREGROUND_FINALIZER);
    node.orphaning = node.deleting && finalizers.includes(ORPHAN_FINALIZER);
    if (node.foreground && !wasForeground) toDelete.push(...node.dependents, uid);
    return { toDelete, toOrphan: node.orphaning && !wasOrphaning ? [uid] : [], invalid };
  }

  /** An object is gone. Its dependents have to be looked at, and owners that waited for it. */
  forget(uid: string): Effects {
    const node = this.#nodes.get(uid);
    if (node === undefined) return NO_EFFECTS;
    const toDelete = this.#detach(node);
    toDelete.push(...node.dependents);
    return { ...NO_EFFECTS, toDelete };
  }

  /** An object is watched no longer, whether it exists or not: as if only its dependents had told of it. */
  unwatch(uid: string): Effects {
    const node = this.#nodes.get(uid);
    if (node === undefined) return NO_EFFECTS;
    const toDelete = this.#detach(node);
    if (this.#nodes.has(uid)) toDelete.push(uid);
    return { ...NO_EFFECTS, toDelete };
  }

  /** The descriptions under which a virtual node is referred to; none for nodes that were seen. */
  claims(uid: string): readonly Claim[] {
    const node = this.#nodes.get(uid);
    if (node?.virtual !== true) return [];
    const claims = new Map<string, { identity: Identity; dependents: string[] }>();
    for (const { dependent, reference } of this.#referencesTo(node)) {
      const identity = claimedIdentity(reference, dependent.identity.namespace);
      const claim = claims.get(coordinates(identity)) ?? { identity, dependents: [] };
      claim.dependents.push(dependent.identity.uid);
      claims.set(coordinates(identity), claim);
    }
    return [...claims.values()];
  }

  /**
   * Dependents that an owner deleted in the foreground has to wait for.
   * Differs from upstream: an object that owns itself doesn't wait for itself, because it would for ever.
   */
  blockingDependents(uid: string): readonly GraphNode[] {
    return [...(this.#nodes.get(uid)?.dependents ?? [])]
      .map((dependent) => this.#nodes.get(dependent))
      .filter((node) => node !== undefined)
      .filter(({ identity }) => identity.uid !== uid)
      .filter(({ owners }) => owners.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true));
  }

  /** Takes a node's own references away; it stays as a virtual one while others refer to it. Returns unblocked owners. */
  #detach(node: MutableNode): string[] {
    const unblocked: string[] = [];
    const { uid } = node.identity;
    for (const reference of node.owners) {
      const owner = this.#nodes.get(reference.uid);
      if (owner === undefined) continue;
      this.#unlink(owner, uid);
      if (owner.foreground) unblocked.push(reference.uid);
    }
    node.virtual = true;
    node.owners = [];
    node.deleting = false;
    node.foreground = false;
    node.orphaning = false;
    if (node.dependents.size === 0) this.#nodes.delete(uid);
    return unblocked;
  }

  #unlink(owner: MutableNode, dependent: string): void {
    owner.dependents.delete(dependent);
    // Nobody refers to it any more, and nobody has seen it.
    if (owner.virtual && owner.dependents.size === 0) this.#nodes.delete(owner.identity.uid);
  }

  *#referencesTo(owner: GraphNode): Generator<{ dependent: GraphNode; reference: OwnerReference }> {
    for (const uid of owner.dependents) {
      const dependent = this.#nodes.get(uid);
      if (dependent === undefined) continue;
      for (const reference of dependent.owners) {
        if (reference.uid === owner.identity.uid) yield { dependent, reference };
      }
    }
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

  #setOwners(
    node: MutableNode,
    owners: readonly OwnerReference[],
    effects: { toDelete: string[]; invalid: InvalidReference[] },
  ): void {
    const { uid, namespace } = node.identity;
    const before = node.owners;
    node.owners = owners;
    for (const old of before) {
      const owner = this.#nodes.get(old.uid);
      if (owner === undefined) continue;
      const now = owners.find((reference) => reference.uid === old.uid);
      if (now === undefined) this.#unlink(owner, uid);
      const isUnblocked = old.blockOwnerDeletion === true && now?.blockOwnerDeletion !== true;
      if (owner.foreground && (now === undefined || isUnblocked)) effects.toDelete.push(old.uid);
    }
    const known = new Set(before.map((reference) => coordinates(claimedIdentity(reference, namespace))));
    for (const reference of owners) {
      const claimed = claimedIdentity(reference, namespace);
      const owner = this.#nodes.get(reference.uid) ?? this.#insert(claimed);
      owner.dependents.add(uid);
      if (known.has(coordinates(claimed))) continue;
      if (owner.virtual) effects.toDelete.push(reference.uid);
      // A new dependent of an owner that is going, or of one that is described wrongly.
      else if (owner.foreground || !describes(reference, namespace, owner.identity)) effects.toDelete.push(uid);
      if (!owner.virtual && isForeign(namespace, owner.identity)) {
        effects.invalid.push({ dependent: node.identity, reference });
      }
    }
  }
}

/** What a reference of an object in `namespace` says that its owner is. */
function claimedIdentity({ apiVersion, kind, name, uid }: OwnerReference, namespace: string): Identity {
  return { apiVersion, kind, namespace, name, uid };
}

/** Equal for identities that mean the same object; the version makes no difference. */
export function coordinates({ apiVersion, kind, namespace, name, uid }: Identity): string {
  return JSON.stringify([groupOf(apiVersion), kind, namespace, name, uid]);
}

/** Whether a reference from an object in `namespace` names the object that it should: the version may differ. */
function describes(reference: OwnerReference, namespace: string, identity: Identity): boolean {
  return (
    groupOf(reference.apiVersion) === groupOf(identity.apiVersion) &&
    reference.kind === identity.kind &&
    reference.name === identity.name &&
    !isForeign(namespace, identity)
  );
}

/** Whether no object in `namespace` may have this owner. */
function isForeign(namespace: string, owner: Identity): boolean {
  return owner.namespace !== "" && owner.namespace !== namespace;
}

/** "apps" of "apps/v1", "" of "v1". */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}
