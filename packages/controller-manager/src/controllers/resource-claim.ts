/**
 * ResourceClaims for pods that name templates, and the end of claims that no pod holds any more.
 * Inputs: Pods, ResourceClaims, ResourceClaimTemplates. Writes: ResourceClaims with their status, Pods' status, Events.
 */
import { core, resource } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim, ResourceClaimConsumerReference } from "@knarr/api/generated/types/resource-v1.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import {
  ALLOCATION_FINALIZER,
  type Consumer,
  claimFromTemplate,
  claimOf,
  isLeftOver,
  isPodDone,
  mayDropFinalizer,
  missingClaims,
  releasedStatus,
  validConsumers,
} from "../core/resource-claim-plan.ts";
import { isNamespaceTerminating } from "./pod-control.ts";

const BY_OWNER = "podOwner";
/** Source: resource.k8s.io ResourceClaimReservedForMaxSize */
const MAX_CONSUMERS = 256;

export const resourceClaimController: Controller = {
  name: "resourceclaim-controller",
  aliases: ["resource-claim-controller"],
  serviceAccount: "resource-claim-controller",
  start: async (context) => {
    const controller = new ClaimController(context);
    return (signal) => controller.run(signal);
  },
};

class ClaimController {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #pods;
  readonly #claims;
  readonly #templates;
  readonly #podQueue: WorkQueue;
  readonly #claimQueue: WorkQueue;
  /** Pod uid and entry -> the claim made for it, until the cache shows it: a second one would be made otherwise. */
  readonly #made = new Map<string, ResourceClaim>();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { informers } = context;
    this.#events = makeRecorder(context, "resource_claim");
    this.#pods = informers.informer(core.pods);
    this.#claims = informers.informer(resource.resourceclaims, {
      indexers: { [BY_OWNER]: (claim) => [controllerOf(claim)?.uid ?? ""] },
    });
    this.#templates = informers.informer(resource.resourceclaimtemplates);
    this.#podQueue = makeQueue(context, "pods");
    this.#claimQueue = makeQueue(context, "claims");
    this.#subscribe();
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = needs(this.#pods, this.#claims, this.#templates);
    const loop = (queue: WorkQueue, reconcile: (key: string, abort: AbortSignal) => Promise<Result>) => {
      return (stop: AbortSignal) => runLoop(this.#context, { queue, workers: 5, needs: informers, reconcile }, stop);
    };
    await runGroup(signal, {
      pods: loop(this.#podQueue, (key, stop) => this.#reconcilePod(key, stop)),
      claims: loop(this.#claimQueue, (key, stop) => this.#reconcileClaim(key, stop)),
    });
  }

  #subscribe(): void {
    const pod = (object: Pod) => {
      if ((object.spec?.resourceClaims ?? []).length === 0) return;
      this.#podQueue.add(keyString(keyOf(object)));
      const namespace = object.metadata.namespace ?? "";
      if (!isPodDone(object)) return;
      for (const { name } of claimNames(object)) this.#claimQueue.add(keyString({ namespace, name }));
    };
    this.#pods.subscribe({
      added: pod,
      updated: (_old, now) => pod(now),
      deleted: (object) => {
        const namespace = object.metadata.namespace ?? "";
        for (const { name } of claimNames(object)) this.#claimQueue.add(keyString({ namespace, name }));
        for (const { name } of object.spec?.resourceClaims ?? []) this.#made.delete(`${object.metadata.uid}/${name}`);
      },
    });
    const claim = (object: ResourceClaim) => this.#claimQueue.add(keyString(keyOf(object)));
    this.#claims.subscribe({
      added: claim,
      updated: (_old, now) => claim(now),
      // A claim that was lost is made again for a pod that still waits.
      deleted: (object) => {
        const owner = controllerOf(object);
        if (owner?.kind === "Pod") {
          this.#podQueue.add(keyString({ namespace: object.metadata.namespace ?? "", name: owner.name }));
        }
      },
    });
    this.#templates.subscribe({
      added: ({ metadata }) => {
        for (const one of this.#pods.list(metadata.namespace)) {
          const names = (one.spec?.resourceClaims ?? []).map(
            ({ resourceClaimTemplateName }) => resourceClaimTemplateName,
          );
          if (names.includes(metadata.name)) pod(one);
        }
      },
    });
  }

  async #reconcilePod(key: string, signal: AbortSignal): Promise<Result> {
    const { client } = this.#context;
    const pod = this.#pods.get(parseKeyString(key));
    if (pod === undefined) return done;
    const uid = pod.metadata.uid ?? "";
    const cached = this.#claims.byIndex(BY_OWNER, uid);
    const owned = [...cached];
    for (const { name } of pod.spec?.resourceClaims ?? []) {
      const made = this.#made.get(`${uid}/${name}`);
      if (made === undefined) continue;
      if (cached.some(({ metadata }) => metadata.uid === made.metadata.uid)) this.#made.delete(`${uid}/${name}`);
      else owned.push(made);
    }
    for (const podClaim of missingClaims(pod, owned)) {
      const templateName = podClaim.resourceClaimTemplateName ?? "";
      const template = this.#templates.get({ namespace: pod.metadata.namespace ?? "", name: templateName });
      if (template === undefined) {
        const message = `PodResourceClaim ${podClaim.name}: resource claim template "${templateName}": resourceclaimtemplate.resource.k8s.io "${templateName}" not found`;
        this.#events.event(pod, "Warning", "FailedResourceClaimCreation", message);
        throw new Error(message);
      }
      try {
        const made = await client.create(resource.resourceclaims, claimFromTemplate(pod, podClaim, template), {
          signal,
        });
        this.#made.set(`${uid}/${podClaim.name}`, made);
        owned.push(made);
      } catch (error) {
        if (isNamespaceTerminating(error)) return done;
        throw error;
      }
    }
    await this.#writeNames(pod, owned, signal);
    await this.#reserve(pod, signal);
    return done;
  }

  /** A pod that was given its node by hand holds what is allocated already: no scheduler enters it. */
  async #reserve(pod: Pod, signal: AbortSignal): Promise<void> {
    if ((pod.spec?.nodeName ?? "") === "" || isPodDone(pod)) return;
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    for (const { name: claimName } of claimNames(pod)) {
      const claim = this.#claims.get({ namespace, name: claimName });
      if (claim?.status?.allocation === undefined || claim.metadata.deletionTimestamp !== undefined) continue;
      const reservedFor = claim.status.reservedFor ?? [];
      if (reservedFor.some((reference) => reference.uid === uid) || reservedFor.length >= MAX_CONSUMERS) continue;
      const status = { ...claim.status, reservedFor: [...reservedFor, { resource: "pods", name, uid }] };
      await this.#context.client.update(
        resource.resourceclaims,
        { ...claim, status },
        { subresource: "status", signal },
      );
    }
  }

  /** The pod's status says which claim is which, for the scheduler and the kubelet. */
  async #writeNames(pod: Pod, owned: readonly ResourceClaim[], signal: AbortSignal): Promise<void> {
    const known = new Map((pod.status?.resourceClaimStatuses ?? []).map((one) => [one.name, one.resourceClaimName]));
    const wrong = (pod.spec?.resourceClaims ?? []).flatMap((podClaim) => {
      const name =
        podClaim.resourceClaimTemplateName === undefined ? undefined : claimOf(podClaim, owned)?.metadata.name;
      return name === undefined || known.get(podClaim.name) === name
        ? []
        : [{ name: podClaim.name, resourceClaimName: name }];
    });
    if (wrong.length === 0) return;
    const body = { metadata: { uid: pod.metadata.uid }, status: { resourceClaimStatuses: wrong } };
    try {
      await this.#context.client.patch(
        core.pods,
        keyOf(pod),
        { type: "strategic", body },
        { subresource: "status", signal },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #reconcileClaim(key: string, signal: AbortSignal): Promise<Result> {
    const { client } = this.#context;
    const claim = this.#claims.get(parseKeyString(key));
    if (claim === undefined) return done;
    const consumers = await this.#findConsumers(claim, signal);
    const valid = validConsumers(claim, (reference) => consumers.get(reference.uid) ?? { kind: "gone" });
    let current = claim;
    try {
      const status = releasedStatus(claim, valid);
      if (status !== undefined) {
        const options = { subresource: "status", signal };
        current = await client.update(resource.resourceclaims, { ...claim, status }, options);
      }
      if (mayDropFinalizer(current, status !== undefined)) {
        const finalizers = (current.metadata.finalizers ?? []).filter((name) => name !== ALLOCATION_FINALIZER);
        const next = { ...current, metadata: { ...current.metadata, finalizers } };
        current = await client.update(resource.resourceclaims, next, { signal });
      }
      const owner = controllerOf(current);
      const pod = this.#pods.get({ namespace: claim.metadata.namespace ?? "", name: owner?.name ?? "" });
      if (current.metadata.deletionTimestamp === undefined && isLeftOver(current, pod)) {
        const preconditions = { uid: current.metadata.uid };
        await client.delete(resource.resourceclaims, keyOf(current), { preconditions, signal });
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return done;
  }

  /** By uid. A pod that the cache doesn't show may be one that it doesn't show yet: the server is asked. */
  async #findConsumers(claim: ResourceClaim, signal: AbortSignal): Promise<ReadonlyMap<string, Consumer>> {
    const found = new Map<string, Consumer>();
    for (const reference of claim.status?.reservedFor ?? []) {
      if (reference.resource === "pods") found.set(reference.uid, await this.#findConsumer(claim, reference, signal));
    }
    return found;
  }

  async #findConsumer(
    claim: ResourceClaim,
    { name, uid }: ResourceClaimConsumerReference,
    signal: AbortSignal,
  ): Promise<Consumer> {
    const key = { namespace: claim.metadata.namespace ?? "", name };
    const cached = this.#pods.get(key);
    if (cached?.metadata.uid === uid) return { kind: "pod", pod: cached };
    try {
      return { kind: "pod", pod: await this.#context.client.get(core.pods, key, { signal }) };
    } catch (error) {
      if (isNotFound(error)) return { kind: "gone" };
      throw error;
    }
  }
}

/** The names of the claims that the pod uses, as far as they are known. */
function claimNames({ spec, status }: Pod): readonly { readonly name: string }[] {
  const made = (status?.resourceClaimStatuses ?? []).map(({ resourceClaimName }) => resourceClaimName);
  const named = (spec?.resourceClaims ?? []).map(({ resourceClaimName }) => resourceClaimName);
  return [...made, ...named].flatMap((name) => (name === undefined ? [] : [{ name }]));
}
