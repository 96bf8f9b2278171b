/**
 * Brings PersistentVolumeClaims and PersistentVolumes together, and says what becomes of volumes whose claims are gone.
 * Inputs: claims, volumes, StorageClasses, Pods. Writes: claims and volumes with their status, Events.
 *
 * The volume is written first, with the version that was judged: of two claims that want it, one gets a conflict.
 */
import { core, storage } from "@knarr/api/generated/resources.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";
import { bindVolumeToClaim, claimClass, volumeClass } from "@knarr/scheduling/volumes/claim-matching.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { bindClaim, claimStatus, planClaim } from "../core/claim-binder-plan.ts";
import { planVolume, unbindVolume, type VolumePlan } from "../core/volume-binder-plan.ts";
import { BY_CLAIM, claimsOfPod } from "./pods-by-claim.ts";

const PROVISIONER = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner";

export const persistentVolumeBinderController: Controller = {
  name: "persistentvolume-binder-controller",
  aliases: ["persistentvolume-binder"],
  serviceAccount: "persistent-volume-binder",
  start: async (context) => {
    const binder = new Binder(context);
    return (signal) => binder.run(signal);
  },
};

class Binder {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #classes;
  readonly #pods: Informer<Pod>;
  readonly #claimQueue: WorkQueue;
  readonly #volumeQueue: WorkQueue;

  constructor(context: ControllerContext) {
    this.#context = context;
    const { informers } = context;
    this.#events = makeRecorder(context, "persistentvolume-controller");
    this.#claims = informers.informer(core.persistentvolumeclaims);
    this.#volumes = informers.informer(core.persistentvolumes);
    this.#classes = informers.informer(storage.storageclasses);
    this.#pods = informers.informer(core.pods, { indexers: { [BY_CLAIM]: claimsOfPod } });
    this.#claimQueue = makeQueue(context, "claims");
    this.#volumeQueue = makeQueue(context, "volumes");
    this.#subscribe();
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = needs(this.#claims, this.#volumes, this.#classes, this.#pods);
    const loop = (queue: WorkQueue, reconcile: (key: string, signal: AbortSignal) => Promise<Result>) => {
      // One worker each: two claims at once would choose the same volume and then disturb each other.
      return (stop: AbortSignal) => runLoop(this.#context, { queue, workers: 1, needs: informers, reconcile }, stop);
    };
    await runGroup(signal, {
      volumes: loop(this.#volumeQueue, (key, stop) => this.#reconcileVolume(key, stop)),
      claims: loop(this.#claimQueue, (key, stop) => this.#reconcileClaim(key, stop)),
    });
  }

  #subscribe(): void {
    const claim = (object: PersistentVolumeClaim) => this.#claimQueue.add(keyString(keyOf(object)));
    const volumeOf = ({ spec }: PersistentVolumeClaim) => {
      if ((spec?.volumeName ?? "") !== "") this.#volumeQueue.add(spec?.volumeName ?? "");
    };
    this.#claims.subscribe({
      added: claim,
      updated: (_old, now) => {
        claim(now);
        volumeOf(now);
      },
      deleted: volumeOf,
    });
    const volume = (object: PersistentVolume) => {
      this.#volumeQueue.add(object.metadata.name ?? "");
      const ref = object.spec?.claimRef;
      if (ref !== undefined) this.#claimQueue.add(keyString({ namespace: ref.namespace ?? "", name: ref.name ?? "" }));
      // A volume that is free may be what a claim waits for.
      else this.#wakeClaims((waiting) => claimClass(waiting) === volumeClass(object));
    };
    this.#volumes.subscribe({ added: volume, updated: (_old, now) => volume(now), deleted: volume });
    const wakeAll = () => this.#wakeClaims(() => true);
    this.#classes.subscribe({ added: wakeAll, updated: wakeAll });
  }

  #wakeClaims(which: (claim: PersistentVolumeClaim) => boolean): void {
    for (const claim of this.#claims.list()) {
      if (claim.status?.phase === "Pending" && which(claim)) this.#claimQueue.add(keyString(keyOf(claim)));
    }
  }

  async #reconcileClaim(key: string, signal: AbortSignal): Promise<Result> {
    const { client, config } = this.#context;
    const claim = this.#claims.get(parseKeyString(key));
    if (claim === undefined) return done;
    const plan = planClaim({
      claim,
      volumes: this.#volumes.list(),
      volume: (name) => this.#volumes.get({ namespace: "", name }),
      classes: this.#classes.list(),
      pods: this.#pods.byIndex(BY_CLAIM, key),
    });
    // Upstream looks at all claims every 15 seconds; here it is those that wait.
    const later = after(config.pvclaimbinderSyncPeriodMs);
    switch (plan.kind) {
      case "bind":
        await this.#bind(claim, plan.volume, signal);
        return done;
      case "lost": {
        const changed = claim.status?.phase !== "Lost";
        await this.#setClaimPhase(claim, "Lost", { signal });
        if (changed) this.#events.event(claim, plan.event.type, plan.event.reason, plan.event.message);
        return done;
      }
      case "pending":
        if (plan.event !== undefined) {
          this.#events.event(claim, plan.event.type, plan.event.reason, plan.event.message);
        }
        await this.#setClaimPhase(claim, "Pending", { signal });
        return later;
      case "provision":
        await this.#askProvisioner(claim, plan.provisioner, signal);
        this.#events.event(claim, plan.event.type, plan.event.reason, plan.event.message);
        return later;
      case "assign-class": {
        const spec = { ...claim.spec, storageClassName: plan.className };
        await client.update(core.persistentvolumeclaims, { ...claim, spec }, { signal });
        return done;
      }
      default:
        return plan satisfies never;
    }
  }

  /** Volume, its phase, claim, its phase; whatever fails is done by the next attempt. */
  async #bind(claim: PersistentVolumeClaim, volume: PersistentVolume, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    let current = bindVolumeToClaim(volume, claim);
    if (current !== volume) current = await client.update(core.persistentvolumes, current, { signal });
    current = await this.#setVolumePhase(current, { phase: "Bound" }, signal);
    let bound = bindClaim(claim, current);
    if (bound !== claim) bound = await client.update(core.persistentvolumeclaims, bound, { signal });
    await this.#setClaimPhase(bound, "Bound", { volume: current, signal });
  }

  async #askProvisioner(claim: PersistentVolumeClaim, provisioner: string, signal: AbortSignal): Promise<void> {
    const annotations = claim.metadata.annotations ?? {};
    if (annotations[PROVISIONER] === provisioner && annotations[BETA_PROVISIONER] === provisioner) return;
    const marked = { ...annotations, [PROVISIONER]: provisioner, [BETA_PROVISIONER]: provisioner };
    const metadata = { ...claim.metadata, annotations: marked };
    await this.#context.client.update(core.persistentvolumeclaims, { ...claim, metadata }, { signal });
  }

  async #setClaimPhase(
    claim: PersistentVolumeClaim,
    phase: "Pending" | "Bound" | "Lost",
    of: { readonly volume?: PersistentVolume; readonly signal: AbortSignal },
  ): Promise<void> {
    const status = claimStatus(claim, phase, of.volume);
    if (status === undefined) return;
    const options = { subresource: "status", signal: of.signal };
    await this.#context.client.update(core.persistentvolumeclaims, { ...claim, status }, options);
  }

  async #setVolumePhase(volume: PersistentVolume, plan: VolumePlan, signal: AbortSignal): Promise<PersistentVolume> {
    if (plan.phase === undefined || volume.status?.phase === plan.phase) return volume;
    const status = {
      phase: plan.phase,
      ...(plan.message === undefined ? {} : { message: plan.message }),
      lastPhaseTransitionTime: rfc3339Seconds(this.#context.clock.now()),
    };
    const options = { subresource: "status", signal };
    const updated = await this.#context.client.update(core.persistentvolumes, { ...volume, status }, options);
    if (plan.event !== undefined) {
      this.#events.event(updated, plan.event.type, plan.event.reason, plan.event.message);
    }
    return updated;
  }

  async #reconcileVolume(name: string, signal: AbortSignal): Promise<Result> {
    const volume = this.#volumes.get({ namespace: "", name });
    if (volume === undefined) return done;
    const claim = await this.#claimOf(volume, signal);
    const plan = planVolume(volume, claim);
    if (plan.wakeClaim === true) {
      const ref = volume.spec?.claimRef;
      this.#claimQueue.add(keyString({ namespace: ref?.namespace ?? "", name: ref?.name ?? "" }));
    }
    if (plan.unbind === true) {
      const free = await this.#context.client.update(core.persistentvolumes, unbindVolume(volume), { signal });
      await this.#setVolumePhase(free, { phase: "Available" }, signal);
    } else await this.#setVolumePhase(volume, plan, signal);
    return done;
  }

  /** The claim that the volume is bound to. Releasing can't be undone, so the server is asked before it is called gone. */
  async #claimOf(volume: PersistentVolume, signal: AbortSignal): Promise<PersistentVolumeClaim | undefined> {
    const { namespace = "", name = "", uid = "" } = volume.spec?.claimRef ?? {};
    if (uid === "") return undefined;
    const cached = this.#claims.get({ namespace, name });
    if (cached?.metadata.uid === uid) return cached;
    try {
      const claim = await this.#context.client.get(core.persistentvolumeclaims, { namespace, name }, { signal });
      return claim.metadata.uid === uid ? claim : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
