/**
 * Deletes objects whose owners are gone, in the background, in the foreground, or not at all (orphans).
 * Inputs: every deletable resource that discovery names. Writes: deletions, owner references, finalizers, Events.
 *
 *   owner deleted --> its dependents: no other owner? deleted. Another? the reference goes.
 *   owner deleted in the foreground --> its dependents are deleted first; those that block hold it back.
 *   owner deleted with orphans --> its dependents lose the reference, then it goes.
 *
 * Source: kubernetes/pkg/controller/garbagecollector
 */
import type { OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client, PropagationPolicy } from "@knarr/client/client.ts";
import type { DiscoveredResource } from "@knarr/client/discover-resources.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import { retryOnConflict } from "@knarr/client/retry-on-conflict.ts";
import { after, done, type Result, runController } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import { type Controller, type ControllerContext, makeQueue, makeRecorder } from "../controller-context.ts";
import { type CollectionPlan, type Owner, planCollection, stateOfOwner } from "../core/garbage-collection.ts";
import {
  coordinates,
  type Effects,
  FOREGROUND_FINALIZER,
  type GraphNode,
  type Identity,
  ORPHAN_FINALIZER,
  OwnerGraph,
} from "../core/owner-graph.ts";
import { ResourceMonitors } from "./resource-monitors.ts";

/** How often discovery is asked for new resources. */
const DISCOVERY_PERIOD_MS = 30_000;
const SYNC_RETRY_MS = 200;
/** How many owners that were found absent, or seen to go, are remembered. */
const MAX_REMEMBERED = 500;

export const garbageCollectorController: Controller = {
  name: "garbage-collector-controller",
  aliases: ["garbagecollector"],
  serviceAccount: "generic-garbage-collector",
  start: async (context) => {
    if (!context.config.enableGarbageCollector) return undefined;
    const collector = new GarbageCollector(context);
    return (signal) => collector.run(signal);
  },
};

class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #client: Client;
  readonly #graph = new OwnerGraph();
  readonly #monitors: ResourceMonitors;
  readonly #toDelete: WorkQueue;
  readonly #toOrphan: WorkQueue;
  readonly #recorder: EventRecorder;
  /**
   * Coordinates of owners that the server said are not there, so that not each dependent asks. With the uid, which never
   * comes back, and all else, because a wrong description of an owner says nothing about the owner.
   */
  readonly #absent = new Set<string>();
  /** Coordinates of owners that were seen to go: believed only when the server can't be asked, their kind being gone. */
  readonly #seenToGo = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#client = context.client;
    this.#toDelete = makeQueue(context, "attempt_to_delete");
    this.#toOrphan = makeQueue(context, "attempt_to_orphan");
    this.#recorder = makeRecorder(context);
    this.#monitors = new ResourceMonitors({
      client: context.client,
      informers: context.informers,
      clock: context.clock,
      log: context.log,
      handler: {
        added: (object) => this.#follow(this.#graph.observe(object)),
        updated: (old, object) => {
          if (old !== object) this.#follow(this.#graph.observe(object));
        },
        deleted: ({ metadata }) => this.#forget(metadata.uid ?? ""),
      },
      unwatched: (objects) => {
        for (const { metadata } of objects) this.#follow(this.#graph.unwatch(metadata.uid ?? ""));
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { log, clock, config, observe } = this.#context;
    const loop = { log, clock, signal, observe, workers: config.concurrentGcSyncs };
    await Promise.all([
      this.#discover(signal),
      runController({
        ...loop,
        queue: this.#toDelete,
        reconcile: (uid) => this.#guard(() => this.#attempt(uid, signal)),
      }),
      runController({
        ...loop,
        queue: this.#toOrphan,
        reconcile: (uid) => this.#guard(() => this.#orphan(uid, signal)),
      }),
    ]);
  }

  #follow({ toDelete, toOrphan, invalid }: Effects): void {
    for (const uid of toDelete) this.#toDelete.add(uid);
    for (const uid of toOrphan) this.#toOrphan.add(uid);
    for (const { dependent, reference } of invalid) this.#warnOf(dependent, reference);
  }

  #forget(uid: string): void {
    const node = this.#graph.get(uid);
    if (node !== undefined && node.dependents.size > 0) remember(this.#seenToGo, coordinates(node.identity));
    this.#follow(this.#graph.forget(uid));
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    while (!signal.aborted) {
      try {
        await this.#monitors.refresh(signal);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error }, "discovery failed, keeping what is known");
      }
      // Only the signal ends this sleep early, and with it the loop.
      await clock.sleep(this.#monitors.synced ? DISCOVERY_PERIOD_MS : DISCOVERY_PERIOD_MS / 6, signal).catch(() => {});
    }
  }

  /** Nothing is judged while some collection hasn't been listed: an owner may be in it. */
  async #guard(reconcile: () => Promise<Result>): Promise<Result> {
    return this.#monitors.synced ? reconcile() : after(SYNC_RETRY_MS);
  }

  async #attempt(uid: string, signal: AbortSignal): Promise<Result> {
    const node = this.#graph.get(uid);
    if (node === undefined) return done;
    if (node.deleting && !node.foreground) return done;
    if (node.virtual) return this.#verify(uid, signal);
    const live = await this.#getLive(node.identity, signal);
    // Its deletion will be heard of.
    if (live === undefined || live.metadata.uid !== uid) return done;
    if (node.foreground) return this.#finishForeground(node, signal);
    const references = live.metadata.ownerReferences ?? [];
    if (references.length === 0) return done;
    const owners = await Promise.all(references.map((reference) => this.#judgeOwner(reference, node, signal)));
    const dependents = [...node.dependents].map((dependent) => this.#graph.get(dependent));
    const plan = planCollection({
      live,
      owners,
      hasDependents: dependents.length > 0,
      mayBeInCycle: dependents.some((dependent) => dependent?.foreground === true),
    });
    return this.#carryOut(plan, { identity: node.identity, live }, signal);
  }

  /** Asks whether an owner exists that only its dependents told of, under each of the descriptions they gave. */
  async #verify(uid: string, signal: AbortSignal): Promise<Result> {
    let result: Result = done;
    const errors: unknown[] = [];
    for (const { identity, dependents } of this.#graph.claims(uid)) {
      try {
        const owner = await this.#findOwner(identity, signal);
        if (owner === "absent") for (const dependent of dependents) this.#toDelete.add(dependent);
        // It exists but hasn't come by yet: look again until it has. What is not watched never will.
        else if (owner !== "unresolvable" && this.#monitors.has(this.#resourceOf(identity))) {
          result = after(SYNC_RETRY_MS);
        }
      } catch (error) {
        signal.throwIfAborted();
        errors.push(error);
      }
    }
    // Only now: one description that nobody understands must not keep the others from being followed.
    if (errors.length > 0) throw errors[0];
    return result;
  }

  async #carryOut(
    plan: CollectionPlan,
    { identity, live }: { identity: Identity; live: KubeObject },
    signal: AbortSignal,
  ): Promise<Result> {
    switch (plan.kind) {
      case "keep":
        return done;
      case "release":
        await this.#patch(identity, live, { ownerReferences: plan.ownerReferences }, signal);
        return done;
      case "delete": {
        const { propagationPolicy, unblock } = plan;
        if (unblock === undefined) return this.#delete(identity, live, propagationPolicy, signal);
        const patched = await this.#patch(identity, live, { ownerReferences: unblock }, signal);
        return patched === undefined ? done : this.#delete(identity, patched, propagationPolicy, signal);
      }
      default:
        return plan satisfies never;
    }
  }

  async #judgeOwner(reference: OwnerReference, node: GraphNode, signal: AbortSignal): Promise<Owner> {
    const { apiVersion, kind, name, uid } = reference;
    const { namespace } = node.identity;
    const owner = await this.#findOwner({ apiVersion, kind, name, uid, namespace }, signal);
    if (owner === "unresolvable") return { state: "unknown", reference };
    return { state: owner === "absent" ? "absent" : stateOfOwner(owner), reference };
  }

  /**
   * The owner as a reference describes it, from the server. A cluster-scoped object can't have a namespaced owner: such a
   * reference can't be resolved, ever. Throws for kinds that nobody knows.
   */
  async #findOwner(claim: Identity, signal: AbortSignal): Promise<KubeObject | "absent" | "unresolvable"> {
    if (this.#absent.has(coordinates(claim))) return "absent";
    const known = this.#monitors.resourceOf(claim.apiVersion, claim.kind);
    if (known === undefined && this.#wasSeenToGo(claim)) return "absent";
    const resource = known ?? this.#resourceOf(claim);
    if (resource.namespaced && claim.namespace === "") return "unresolvable";
    const owner = await this.#getObject(resource, keyOfIdentity(claim), signal);
    if (owner?.metadata.uid === claim.uid) return owner;
    remember(this.#absent, coordinates(claim));
    return "absent";
  }

  #wasSeenToGo(claim: Identity): boolean {
    return [claim, { ...claim, namespace: "" }].some((identity) => this.#seenToGo.has(coordinates(identity)));
  }

  #warnOf(dependent: Identity, reference: OwnerReference): void {
    const { namespace, ...about } = dependent;
    const { apiVersion, kind, name, uid } = reference;
    const owner = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}]`;
    this.#recorder.event(
      namespace === "" ? about : dependent,
      "Warning",
      "OwnerRefInvalidNamespace",
      `ownerRef ${owner} does not exist in namespace ${JSON.stringify(namespace)}`,
    );
  }

  /** The owner goes once nothing that blocks it is left; what is left is deleted. */
  async #finishForeground(node: GraphNode, signal: AbortSignal): Promise<Result> {
    const blocking = this.#graph.blockingDependents(node.identity.uid);
    if (blocking.length === 0) {
      await this.#removeFinalizer(node.identity, FOREGROUND_FINALIZER, signal);
      return done;
    }
    for (const dependent of blocking) if (!dependent.foreground) this.#toDelete.add(dependent.identity.uid);
    return done;
  }

  async #orphan(uid: string, signal: AbortSignal): Promise<Result> {
    const node = this.#graph.get(uid);
    if (node === undefined || !node.orphaning) return done;
    await Promise.all(
      [...node.dependents].map(async (dependentUid) => {
        const dependent = this.#graph.get(dependentUid);
        if (dependent === undefined) return;
        await retryOnConflict(async () => {
          const live = await this.#getLive(dependent.identity, signal);
          if (live === undefined || live.metadata.uid !== dependentUid) return;
          const owners = live.metadata.ownerReferences ?? [];
          const ownerReferences = owners.filter((owner) => owner.uid !== uid);
          if (ownerReferences.length === owners.length) return;
          await this.#patch(dependent.identity, live, { ownerReferences }, signal);
        });
      }),
    );
    await this.#removeFinalizer(node.identity, ORPHAN_FINALIZER, signal);
    return done;
  }

  async #removeFinalizer(identity: Identity, finalizer: string, signal: AbortSignal): Promise<void> {
    await retryOnConflict(async () => {
      const live = await this.#getLive(identity, signal);
      if (live === undefined || live.metadata.uid !== identity.uid) return;
      const finalizers = (live.metadata.finalizers ?? []).filter((name) => name !== finalizer);
      if (finalizers.length === (live.metadata.finalizers ?? []).length) return;
      await this.#patch(identity, live, { finalizers }, signal);
    });
  }

  /** A merge patch, which every kind understands; the version guards the lists that it replaces. Undefined: gone. */
  async #patch(
    identity: Identity,
    live: KubeObject,
    metadata: object,
    signal: AbortSignal,
  ): Promise<KubeObject | undefined> {
    const body = { metadata: { ...metadata, uid: identity.uid, resourceVersion: live.metadata.resourceVersion } };
    try {
      return await this.#client.patch(
        this.#resourceOf(identity),
        keyOfIdentity(identity),
        { type: "merge", body },
        { signal },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return undefined;
    }
  }

  async #delete(identity: Identity, live: KubeObject, policy: PropagationPolicy, signal: AbortSignal): Promise<Result> {
    const preconditions = { uid: identity.uid, resourceVersion: live.metadata.resourceVersion };
    try {
      const options = { propagationPolicy: policy, preconditions, signal };
      await this.#client.delete(this.#resourceOf(identity), keyOfIdentity(identity), options);
      this.#context.log.debug({ ...identity, policy }, "dependent deleted");
    } catch (error) {
      if (isNotFound(error)) return done;
      // It changed since it was judged: judge it again. Not a failure, and without the back-off of one.
      if (isConflict(error)) return after(1);
      throw error;
    }
    return done;
  }

  #getLive(identity: Identity, signal: AbortSignal): Promise<KubeObject | undefined> {
    return this.#getObject(this.#resourceOf(identity), keyOfIdentity(identity), signal);
  }

  async #getObject(resource: DiscoveredResource, key: ObjectKey, signal: AbortSignal): Promise<KubeObject | undefined> {
    try {
      return await this.#client.get(resource, resource.namespaced ? key : { ...key, namespace: "" }, {
        metadataOnly: true,
        signal,
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Throws when no resource has this kind: then nobody knows whether the object exists. */
  #resourceOf({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): DiscoveredResource {
    const resource = this.#monitors.resourceOf(apiVersion, kind);
    if (resource === undefined) throw new Error(`no matches for kind "${kind}" in version "${apiVersion}"`);
    return resource;
  }
}

/** Adds to a set that forgets what came first when it is full. */
function remember(set: Set<string>, value: string): void {
  set.add(value);
  if (set.size <= MAX_REMEMBERED) return;
  for (const oldest of set) {
    set.delete(oldest);
    break;
  }
}

function keyOfIdentity({ namespace, name }: Identity): ObjectKey {
  return { namespace, name };
}
