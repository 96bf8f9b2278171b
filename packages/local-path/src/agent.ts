/**
 * The loop: claims and volumes -> plan -> folders and objects. Inputs: claims, volumes, StorageClasses, this node's
 * object, and a timer. What is left half done by a crash is found by the marks in the storage folder.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@knarr/api/generated/types/core-v1.ts";
import type { StorageClass } from "@knarr/api/generated/types/storage-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { after, done, type Result, runController } from "@knarr/controller/reconcile-loop.ts";
import { WorkQueue } from "@knarr/controller/work-queue.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { claimClass, SELECTED_NODE } from "@knarr/scheduling/volumes/claim-matching.ts";
import type { Config } from "./config.ts";
import { capacityOf, isOurs, planClaim } from "./core/plan-claim.ts";
import { planVolume, volumeNameFor } from "./core/plan-volume.ts";
import { expand, type ProvisionContext, provision, reclaim } from "./provision.ts";

export interface AgentOptions extends ProvisionContext {
  readonly config: Config;
  readonly log: Logger;
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly classes: Informer<StorageClass>;
  readonly node: Informer<Node>;
}

/** A volume that a pod still has mounted is looked at again. */
const MOUNTED_RETRY_MS = 2000;
/** Nodes that may all make a volume wait for a moment of their own each, so that few of them collide. */
const OFFER_SPREAD_MS = 1000;
/** The longest back-off: the disk may have room again, the server its sense. */
const MAX_RETRY_MS = 60_000;

export class Agent {
  readonly #options: AgentOptions;
  /** "claim NAMESPACE/NAME", "volume NAME", "sweep" */
  readonly #queue: WorkQueue;
  readonly #offerAt = new Map<string, number>();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({ clock: options.clock, baseDelayMs: 100, maxDelayMs: MAX_RETRY_MS });
    this.#subscribe();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { claims, volumes, classes, node, log, clock } = this.#options;
    await Promise.all([claims, volumes, classes, node].map((informer) => informer.waitForSync(signal)));
    await this.#options.folders.prepare();
    this.#queue.add("sweep");
    const reconcile = (key: string) => this.#reconcile(key, signal);
    await runController({ workers: 4, queue: this.#queue, reconcile, log, clock, signal });
  }

  /** Volumes of this node, and what they were promised. */
  usage(): { readonly volumes: number; readonly capacities: readonly string[] } {
    const own = this.#options.volumes.list().filter((v) => isOurs(v, this.#options.config));
    return { volumes: own.length, capacities: own.map(capacityOf) };
  }

  #subscribe(): void {
    const { claims, volumes, classes, node } = this.#options;
    const claim = (object: PersistentVolumeClaim) => {
      this.#queue.add(`claim ${keyString(keyOf(object))}`);
      const name = object.spec?.volumeName ?? "";
      if (name !== "") this.#queue.add(`volume ${name}`);
    };
    claims.subscribe({ added: claim, updated: (_old, now) => claim(now), deleted: claim });
    const volume = (object: PersistentVolume) => {
      if (!isOurs(object, this.#options.config)) return;
      this.#queue.add(`volume ${object.metadata.name}`);
      const ref = object.spec?.claimRef;
      if (ref !== undefined) this.#queue.add(`claim ${ref.namespace}/${ref.name}`);
    };
    volumes.subscribe({ added: volume, updated: (_old, now) => volume(now), deleted: volume });
    const all = () => {
      for (const object of claims.list()) if ((object.spec?.volumeName ?? "") === "") claim(object);
    };
    classes.subscribe({ added: all, updated: all });
    node.subscribe({ added: all, updated: (old, now) => old.spec?.unschedulable !== now.spec?.unschedulable && all() });
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    if (key === "sweep") return await this.#sweep(signal);
    const [kind, name = ""] = key.split(" ");
    return kind === "claim" ? await this.#claim(name, signal) : await this.#volume(name, signal);
  }

  async #claim(key: string, signal: AbortSignal): Promise<Result> {
    const { claims, volumes, classes, config, events } = this.#options;
    const claim = claims.get(parseKeyString(key));
    if (claim === undefined) return done;
    const node = this.#options.node.get({ namespace: "", name: config.nodeName });
    const plan = planClaim({
      claim,
      provisioner: config.provisioner,
      nodeName: config.nodeName,
      node,
      storageClass: classes.get({ namespace: "", name: claimClass(claim) }),
      volume: volumes.get({ namespace: "", name: claim.spec?.volumeName ?? "" }),
    });
    if (plan.kind !== "offer") this.#offerAt.delete(key);
    switch (plan.kind) {
      case "none":
        return done;
      case "offer":
        return await this.#offer(key, claim, signal);
      case "refuse":
        events.event(claim, "Warning", "ProvisioningFailed", failed(claim, plan.message));
        return done;
      case "provision":
        return await this.#provision(claim, { storageClass: plan.storageClass, node }, signal);
      case "expand":
        return await this.#expand({ claim, volume: plan.volume, size: plan.size }, signal);
      default:
        return plan satisfies never;
    }
  }

  /** Writes this node's name on the claim, unless another was faster: then the claim has changed and this conflicts. */
  async #offer(key: string, claim: PersistentVolumeClaim, signal: AbortSignal): Promise<Result> {
    const { client, clock, config } = this.#options;
    const now = clock.monotonicMs();
    const at = this.#offerAt.get(key) ?? now + Math.random() * OFFER_SPREAD_MS;
    this.#offerAt.set(key, at);
    if (now < at) return after(at - now);
    const annotations = { ...claim.metadata.annotations, [SELECTED_NODE]: config.nodeName };
    try {
      await client.update(core.persistentvolumeclaims, withAnnotations(claim, annotations), { signal });
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
    return done;
  }

  async #provision(
    claim: PersistentVolumeClaim,
    { storageClass, node }: { readonly storageClass: StorageClass; readonly node: Node | undefined },
    signal: AbortSignal,
  ): Promise<Result> {
    const { config, events, client, log } = this.#options;
    // Made already: the binder is about to bind it.
    if (this.#options.volumes.get({ namespace: "", name: volumeNameFor(claim) }) !== undefined) return done;
    const { provisioner, nodeName } = config;
    try {
      await provision(this.#options, { claim, storageClass, provisioner, nodeName, node }, signal);
      log.info({ claim: keyString(keyOf(claim)) }, "volume made");
      return done;
    } catch (error) {
      signal.throwIfAborted();
      events.event(claim, "Warning", "ProvisioningFailed", failed(claim, messageOf(error)));
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
      // No room here: the scheduler may find some elsewhere.
      const { [SELECTED_NODE]: _, ...annotations } = claim.metadata.annotations ?? {};
      await client.update(core.persistentvolumeclaims, withAnnotations(claim, annotations), { signal });
      return done;
    }
  }

  async #expand(target: Parameters<typeof expand>[1], signal: AbortSignal): Promise<Result> {
    const { events, log } = this.#options;
    try {
      await expand(this.#options, target, signal);
      log.info({ volume: target.volume.metadata.name, size: target.size }, "volume grown");
      return done;
    } catch (error) {
      signal.throwIfAborted();
      const name = target.volume.metadata.name;
      const message = `resize volume "${name}" by resizer "${this.#options.config.provisioner}" failed: ${messageOf(error)}`;
      if (!isConflict(error)) events.event(target.claim, "Warning", "VolumeResizeFailed", message);
      throw error;
    }
  }

  async #volume(name: string, signal: AbortSignal): Promise<Result> {
    const { client, config, events, folders, log, volumes } = this.#options;
    const volume = volumes.get({ namespace: "", name });
    if (volume === undefined || !isOurs(volume, config)) return done;
    const ends = volume.status?.phase === "Released" || volume.metadata.deletionTimestamp !== undefined;
    const plan = planVolume(volume, ends && (await this.#isClaimGone(volume, signal)));
    switch (plan.kind) {
      case "none":
        return done;
      case "finalizers": {
        const metadata = { ...volume.metadata, finalizers: [...plan.finalizers] };
        await client.update(core.persistentvolumes, { ...volume, metadata }, { signal });
        return done;
      }
      case "reclaim": {
        // A pod that was removed by force may not have let go yet.
        if (await folders.isMounted(volume.spec?.local?.path.split("/").at(-1) ?? "")) return after(MOUNTED_RETRY_MS);
        try {
          await reclaim(this.#options, volume, signal);
        } catch (error) {
          signal.throwIfAborted();
          if (!isConflict(error)) events.event(volume, "Warning", "VolumeFailedDelete", messageOf(error));
          throw error;
        }
        log.info({ volume: name }, "volume removed");
        return done;
      }
      default:
        return plan satisfies never;
    }
  }

  /** Data is at stake: the server is asked, not the cache. */
  async #isClaimGone(volume: PersistentVolume, signal: AbortSignal): Promise<boolean> {
    const { namespace = "", name = "", uid } = volume.spec?.claimRef ?? {};
    if (name === "") return false;
    const live = await this.#liveClaim({ namespace, name }, signal);
    return live === undefined || live.metadata.uid !== uid;
  }

  async #liveClaim(key: { namespace: string; name: string }, signal: AbortSignal) {
    try {
      return await this.#options.client.get(core.persistentvolumeclaims, key, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Finds what a crash left: folders made for claims that went before their volume was, and what was on its way out. */
  async #sweep(signal: AbortSignal): Promise<Result> {
    const { client, config, folders, log, claims, volumes } = this.#options;
    for (const { folder, namespace, name } of await folders.pending()) {
      const claim = name === "" ? undefined : await this.#liveClaim({ namespace, name }, signal);
      const waits = claim !== undefined && volumeNameFor(claim) === folder;
      const volume = await client
        .get(core.persistentvolumes, { namespace: "", name: folder }, { signal })
        .catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        });
      if (volume !== undefined) await folders.settle(folder);
      // A claim that is still there is worked on by its own key, and maybe on another node by now.
      else if (!waits || claim?.metadata.annotations?.[SELECTED_NODE] !== config.nodeName) {
        log.info({ folder }, "removing the folder of a volume that was never made");
        await folders.discard(folder);
        await folders.settle(folder);
      }
    }
    await folders.emptyTrash();
    for (const claim of claims.list()) this.#queue.add(`claim ${keyString(keyOf(claim))}`);
    for (const volume of volumes.list()) if (isOurs(volume, config)) this.#queue.add(`volume ${volume.metadata.name}`);
    return after(config.syncPeriodMs);
  }
}

function withAnnotations(claim: PersistentVolumeClaim, annotations: Record<string, string>): PersistentVolumeClaim {
  return { ...claim, metadata: { ...claim.metadata, annotations } };
}

function failed(claim: PersistentVolumeClaim, why: string): string {
  return `failed to provision volume with StorageClass "${claimClass(claim)}": ${why}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
