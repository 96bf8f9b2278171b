/**
 * Has the drivers of a pod's ResourceClaims prepare what the claims were given, before the pod's sandbox; hands its containers
 * their CDI devices; has it unprepared once the last pod that uses a claim has stopped.
 *
 *   claim: (unknown) --prepare: checks pass--> booked --every driver answered--> prepared
 *          booked or prepared --the last pod's unprepare--> (unknown)
 *
 * Owns ROOTDIR/dra_manager_state. A claim is written there before its drivers are asked, so that nothing that a driver may have
 * done is forgotten; after a restart drivers are asked again, which they take for what it is.
 * Source: KEP-4381; pkg/kubelet/cm/dra
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { resource } from "@knarr/api/generated/resources.ts";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim } from "@knarr/api/generated/types/resource-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { type BookedClaim, ClaimBook, type ClaimKey, type ClaimRef, keyOfClaim } from "./claim-book.ts";
import type { Driver, DriverAnswer } from "./drivers.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { ClaimError, checkClaim, claimsOfContainer, claimsOfPod, driversOf } from "./pod-claims.ts";

export interface ClaimManagerOptions {
  readonly rootDir: string;
  readonly client: Pick<Client, "get">;
  /** Throws ClaimError for a driver that is not there. */
  readonly drivers: { get(name: string): Driver };
  readonly clock: Clock;
  readonly log: Logger;
}

const FILE = "dra_manager_state";
/** How often claims of pods that went unseen are looked for. Source: pkg/kubelet/cm, 60 s */
const RECONCILE_MS = 60_000;
const GET_TIMEOUT_MS = 10_000;

export class ClaimManager {
  readonly #options: ClaimManagerOptions;
  readonly #book: ClaimBook;
  readonly #locks = new KeyedLock();
  /** Writes go one after the other. */
  #saved: Promise<void> = Promise.resolve();

  private constructor(options: ClaimManagerOptions, book: ClaimBook) {
    this.#options = options;
    this.#book = book;
  }

  /** Throws when the state of an earlier run can't be read: without it, what was prepared would stay so for ever. */
  static async load(options: ClaimManagerOptions): Promise<ClaimManager> {
    const path = join(options.rootDir, FILE);
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    try {
      return new ClaimManager(options, text === undefined ? new ClaimBook() : ClaimBook.fromText(text));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${path}: ${why}; drain the node and remove the file`, { cause });
    }
  }

  /** Idempotent. Throws with what the pod's event is to say. */
  async prepare(pod: Pod, signal: AbortSignal): Promise<void> {
    try {
      const claims = claimsOfPod(pod);
      if (claims.length === 0) return;
      const { namespace = "" } = pod.metadata;
      const keys = claims.map(({ claimName }) => keyOfClaim({ namespace, name: claimName }));
      await this.#locks.hold(keys, () => this.#prepare(pod, signal));
    } catch (error) {
      throw wrapped("prepare dynamic resources", error);
    }
  }

  /** What the container gets of the pod's claims, as the runtime wants it. Throws ClaimError. */
  cdiDevices(pod: Pod, container: Container): readonly { readonly name: string }[] {
    const { namespace = "" } = pod.metadata;
    const names = claimsOfContainer(pod, container).flatMap(({ claimName, request }) => {
      const key = { namespace, name: claimName };
      if (this.#book.get(key) === undefined) throw new ClaimError(`ResourceClaim ${claimName} is not prepared`);
      return this.#book.cdiDevices(key, request);
    });
    return [...new Set(names)].map((name) => ({ name }));
  }

  /** Of a pod of which nothing runs any more. Idempotent. Throws when a driver can't be reached or refuses. */
  async unprepare(podUid: string, signal: AbortSignal): Promise<void> {
    try {
      const keys = this.#book.claimsOf(podUid).map(keyOfClaim);
      if (keys.length > 0) await this.#locks.hold(keys, () => this.#unprepare(podUid, signal));
    } catch (error) {
      throw wrapped("unprepare dynamic resources", error);
    }
  }

  /** Frees what pods hold that are not there any more, until the signal aborts; undefined while pods are not known yet. */
  async run(livingPods: () => ReadonlySet<string> | undefined, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(RECONCILE_MS, signal).catch(() => undefined); // Only an abort ends the sleep early.
      const living = signal.aborted ? undefined : livingPods();
      if (living === undefined) continue;
      for (const podUid of this.#book.podUids()) {
        if (living.has(podUid)) continue;
        await this.unprepare(podUid, signal).catch((err: unknown) => {
          log.warn({ err, podUid }, "claims of a pod that is gone are still prepared");
        });
      }
    }
  }

  async #prepare(pod: Pod, signal: AbortSignal): Promise<void> {
    const podUid = pod.metadata.uid ?? "";
    // Nothing is booked before everything was checked: a pod whose driver never was here must not wait for it to end.
    const claims = await Promise.all(
      claimsOfPod(pod).map(async (use) => {
        const claim = await this.#fetch(pod, use.claimName, signal);
        checkClaim(pod, use, claim);
        for (const driver of driversOf(claim)) this.#options.drivers.get(driver);
        return claim;
      }),
    );
    for (const claim of claims) this.#checkUnchanged(claim);
    const booked = claims.map((claim) => this.#book.enter(refOf(claim), driversOf(claim)));
    for (const entry of booked) entry.podUids.add(podUid);
    await this.#save();
    const open = booked.filter(({ isPrepared }) => !isPrepared);
    for (const [name, refs] of byDriver(open)) {
      const answer = await this.#options.drivers.get(name).prepare(refs, signal);
      checkAnswer("NodePrepareResources", refs, answer);
      for (const entry of open) {
        const given = answer.get(entry.uid);
        if (given !== undefined) entry.drivers.set(name, given.devices);
      }
    }
    for (const entry of open) entry.isPrepared = true;
    if (open.length > 0) await this.#save();
  }

  async #fetch(pod: Pod, name: string, signal: AbortSignal): Promise<ResourceClaim> {
    const key = { namespace: pod.metadata.namespace ?? "", name };
    try {
      return await this.#options.client.get(resource.resourceclaims, key, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(GET_TIMEOUT_MS)]),
      });
    } catch (error) {
      throw wrapped(`fetch ResourceClaim ${name}`, error);
    }
  }

  #checkUnchanged(claim: ResourceClaim): void {
    const { name, uid } = refOf(claim);
    const known = this.#book.get(refOf(claim));
    if (known === undefined || known.uid === uid) return;
    throw new ClaimError(
      `old ResourceClaim with same name ${name} and different UID ${known.uid} still exists (previous pod force-deleted?!)`,
    );
  }

  async #unprepare(podUid: string, signal: AbortSignal): Promise<void> {
    const claims = this.#book.claimsOf(podUid);
    const last = claims.filter(({ podUids }) => podUids.size === 1);
    for (const [name, refs] of byDriver(last)) {
      const answer = await this.#options.drivers.get(name).unprepare(refs, signal);
      checkAnswer("NodeUnprepareResources", refs, answer);
    }
    for (const claim of claims) claim.podUids.delete(podUid);
    for (const claim of last) this.#book.delete(claim);
    await this.#save();
  }

  #save(): Promise<void> {
    const path = join(this.#options.rootDir, FILE);
    const write = async () => {
      await writeFile(`${path}.new`, this.#book.toText(), { mode: 0o600 });
      await rename(`${path}.new`, path);
    };
    const written = this.#saved.then(write);
    this.#saved = written.catch(() => undefined); // Told to whoever asked for it.
    return written;
  }
}

function refOf({ metadata }: ResourceClaim): ClaimRef {
  const { namespace = "", name = "", uid = "" } = metadata;
  return { namespace, name, uid };
}

function byDriver(claims: readonly BookedClaim[]): ReadonlyMap<string, readonly ClaimRef[]> {
  const batches = new Map<string, ClaimRef[]>();
  for (const claim of claims) {
    for (const driver of claim.drivers.keys()) batches.set(driver, [...(batches.get(driver) ?? []), claim]);
  }
  return batches;
}

/** Throws ClaimError for what a driver refused, forgot or made up. */
function checkAnswer(method: string, asked: readonly (ClaimRef & ClaimKey)[], answer: DriverAnswer): void {
  for (const [uid, { error }] of answer) {
    const claim = asked.find((ref) => ref.uid === uid);
    if (claim === undefined) throw new ClaimError(`${method} returned result for unknown claim UID ${uid}`);
    if (error !== "") throw new ClaimError(`${method} failed for ResourceClaim ${claim.name}: ${error}`);
  }
  const missing = asked.length - answer.size;
  if (missing > 0) throw new ClaimError(`${method} skipped ${missing} ResourceClaims`);
}

function wrapped(what: string, cause: unknown): Error {
  return new Error(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}
