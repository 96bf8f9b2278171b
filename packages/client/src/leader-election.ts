/**
 * One leader among several processes, by a Lease that the leader keeps renewing.
 *
 *   follow --lease free, ours, or not renewed for leaseDuration--> lead --no renewal for renewDeadline--> lost (throws)
 *                                                                  lead --signal--> stop leading, then release
 *
 * Safety: a leader counts renewDeadline from the moment it *sent* its last successful renewal, and tells its work to stop
 * then, whatever its requests are doing. A follower counts leaseDuration from the moment it *saw* the lease change, which
 * is later. As renewDeadline < leaseDuration, the old leader's signal has aborted before anyone else may acquire; clocks
 * of different machines are never compared. A process that was stopped and wakes up late may handle what it finds in its
 * sockets before its timers: so writes should ask `isLeading`, which looks at the clock, right before they are sent.
 * Source: client-go tools/leaderelection
 */
import { coordination } from "@knarr/api/generated/resources.ts";
import type { Lease, LeaseSpec } from "@knarr/api/generated/types/coordination-v1.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Client } from "./client.ts";

export interface LeaderElectionOptions {
  readonly client: Client;
  readonly lease: ObjectKey;
  /** Unique to this process: "host_uuid". */
  readonly identity: string;
  /** 15 s when absent, as upstream's --leader-elect-lease-duration. */
  readonly leaseDurationMs?: number | undefined;
  /** 10 s when absent; must be shorter than the lease. */
  readonly renewDeadlineMs?: number | undefined;
  /** 2 s when absent. */
  readonly retryPeriodMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /**
   * The work of the leader; must end soon after its signal aborts. When it ends by itself, leadership is released.
   * `isLeading` is false as soon as the last renewal is too old, even if the signal is still to abort.
   */
  readonly lead: (signal: AbortSignal, isLeading: () => boolean) => Promise<void>;
  /** Written to the Lease with every acquisition and renewal: how to reach the leader, say. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Told when a different holder is seen. */
  readonly onNewLeader?: ((identity: string) => void) | undefined;
  /** Uniform in [0, 1); Math.random when absent. */
  readonly random?: () => number;
}

/** Leadership went to nobody or somebody else while it should have been kept; the process should start anew. */
export class LeadershipLostError extends Error {
  override readonly name = "LeadershipLostError";
}

/**
 * Waits for leadership, runs `lead`, and resolves when the signal aborted or `lead` returned, the lease released. Rejects
 * with LeadershipLostError when leadership was lost, and with `lead`'s own error.
 */
export async function runLeaderElection(options: LeaderElectionOptions): Promise<void> {
  const elector = new Elector(options);
  try {
    await elector.acquire();
  } catch (error) {
    if (options.signal.aborted) return;
    throw error;
  }
  const leadership = new AbortController();
  const stop = () => leadership.abort(options.signal.reason);
  if (options.signal.aborted) stop();
  else options.signal.addEventListener("abort", stop, { once: true });
  const renewing = new AbortController();
  const renewal = elector.keepRenewing(leadership, renewing.signal);
  try {
    await options.lead(leadership.signal, () => !leadership.signal.aborted && elector.inTime);
  } catch (error) {
    if (!leadership.signal.aborted || error !== leadership.signal.reason) throw error;
  } finally {
    options.signal.removeEventListener("abort", stop);
    renewing.abort(new DOMException("no longer leading", "AbortError"));
    await renewal;
    await elector.release();
  }
  if (leadership.signal.reason instanceof LeadershipLostError) throw leadership.signal.reason;
}

/** The lease as last seen, and when (monotonic) it was first seen like that. */
interface Observation {
  readonly lease: Lease;
  readonly record: string;
  readonly atMs: number;
}

class Elector {
  readonly #options: LeaderElectionOptions;
  readonly #durationMs: number;
  readonly #deadlineMs: number;
  readonly #retryMs: number;
  #seen: Observation | undefined;
  /** Whether `#seen` may be behind the server, so that the next attempt must read first. */
  #stale = true;
  #reportedHolder = "";
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  #lost = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#durationMs = options.leaseDurationMs ?? 15_000;
    this.#deadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryMs = options.retryPeriodMs ?? 2_000;
    if (this.#deadlineMs >= this.#durationMs) throw new RangeError("renewDeadlineMs must be below leaseDurationMs");
    if (this.#retryMs * 1.2 >= this.#deadlineMs)
      throw new RangeError("retryPeriodMs must be well below renewDeadlineMs");
  }

  /** Whether the last renewal is recent enough that nobody else can have acquired the lease. */
  get inTime(): boolean {
    return this.#options.clock.monotonicMs() - this.#renewedAtMs < this.#deadlineMs;
  }

  async acquire(): Promise<void> {
    const { signal, log, lease, clock, random = Math.random } = this.#options;
    log.info({ lease: keyString(lease) }, "waiting to lead");
    while (!(await this.#try(signal, this.#deadlineMs))) {
      await clock.sleep(this.#retryMs * (1 + 0.2 * random()), signal);
    }
    log.info({ lease: keyString(lease) }, "leading");
  }

  /** Renews until `done` aborts; aborts `leadership` when no renewal succeeded in time or somebody else holds the lease. */
  async keepRenewing(leadership: AbortController, done: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const lose = (why: string) => {
      if (done.aborted || this.#lost) return;
      this.#lost = true;
      log.error({ why }, "leadership lost");
      leadership.abort(new LeadershipLostError(`leader election lost: ${why}`));
    };
    let cancelDeadline = () => {};
    const armDeadline = () => {
      cancelDeadline();
      const leftMs = this.#renewedAtMs + this.#deadlineMs - clock.monotonicMs();
      cancelDeadline = clock.setTimeout(() => lose("the lease was not renewed in time"), leftMs);
    };
    armDeadline();
    try {
      while (!this.#lost) {
        await clock.sleep(this.#retryMs, done);
        if (await this.#try(done, this.#deadlineMs)) armDeadline();
        else if (this.#heldByOther()) lose("somebody else holds the lease");
      }
    } catch (error) {
      // The end of leading ends a sleep or a request; nothing else rejects here.
      if (!done.aborted) lose(error instanceof Error ? error.message : String(error));
    } finally {
      cancelDeadline();
    }
  }

  /** Gives the lease up so that the next one need not wait. Best effort: otherwise it expires. */
  async release(): Promise<void> {
    const { client, log } = this.#options;
    if (this.#lost || this.#seen === undefined || this.#heldByOther()) return;
    const { lease } = this.#seen;
    const now = this.#microTime();
    const spec: LeaseSpec = {
      leaseTransitions: lease.spec?.leaseTransitions,
      holderIdentity: "",
      leaseDurationSeconds: 1,
      renewTime: now,
      acquireTime: now,
    };
    try {
      await client.update(coordination.leases, { ...lease, spec }, { timeoutMs: this.#retryMs });
      log.info("lease released");
    } catch (error) {
      // The process is on its way out; the lease runs out by itself.
      log.warn({ err: error }, "lease not released");
    }
  }

  #heldByOther(): boolean {
    const holder = this.#seen?.lease.spec?.holderIdentity ?? "";
    return holder !== "" && holder !== this.#options.identity;
  }

  /** One attempt to get or keep the lease; false when it is held or the server didn't answer. Rejects on abort only. */
  async #try(signal: AbortSignal, timeoutMs: number): Promise<boolean> {
    const { clock, log } = this.#options;
    const sentAtMs = clock.monotonicMs();
    try {
      if (!(await this.#acquireOrRenew(signal, timeoutMs))) return false;
      this.#renewedAtMs = sentAtMs;
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (isConflict(error) || isAlreadyExists(error)) {
        // Somebody wrote first: what we have seen is stale, so the next attempt reads.
        this.#stale = true;
        return false;
      }
      this.#stale = true;
      log.warn({ err: error }, "lease can't be acquired or renewed");
      return false;
    }
  }

  async #acquireOrRenew(signal: AbortSignal, timeoutMs: number): Promise<boolean> {
    const { client, lease: key, identity, clock } = this.#options;
    // A leader whose own last write is the newest needs no read: the version guards the write.
    if (this.#stale || this.#seen?.lease.spec?.holderIdentity !== identity) {
      const found = await this.#read(signal, timeoutMs);
      if (found === undefined) {
        const spec = this.#ownSpec(undefined);
        const created = await client.create(
          coordination.leases,
          {
            apiVersion: "coordination.k8s.io/v1",
            kind: "Lease",
            metadata: { ...key, annotations: this.#options.annotations },
            spec,
          },
          { signal, timeoutMs },
        );
        this.#observe(created);
        return true;
      }
    }
    const seen = this.#seen as Observation;
    const holder = seen.lease.spec?.holderIdentity ?? "";
    const validMs = (seen.lease.spec?.leaseDurationSeconds ?? 0) * 1000;
    if (holder !== "" && holder !== identity && clock.monotonicMs() < seen.atMs + validMs) return false;
    const updated = await client.update(
      coordination.leases,
      {
        ...seen.lease,
        metadata: { ...seen.lease.metadata, annotations: this.#annotations(seen.lease) },
        spec: { ...seen.lease.spec, ...this.#ownSpec(seen.lease.spec) },
      },
      { signal, timeoutMs },
    );
    this.#observe(updated);
    return true;
  }

  async #read(signal: AbortSignal, timeoutMs: number): Promise<Lease | undefined> {
    const { client, lease: key } = this.#options;
    try {
      const lease = await client.get(coordination.leases, key, { signal, timeoutMs });
      this.#observe(lease);
      return lease;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #observe(lease: Lease): void {
    const record = JSON.stringify(lease.spec);
    this.#stale = false;
    const atMs = this.#seen?.record === record ? this.#seen.atMs : this.#options.clock.monotonicMs();
    this.#seen = { lease, record, atMs };
    const holder = lease.spec?.holderIdentity ?? "";
    if (holder === this.#reportedHolder) return;
    this.#reportedHolder = holder;
    if (holder !== "") this.#options.onNewLeader?.(holder);
  }

  #annotations({ metadata }: Lease): Record<string, string> | undefined {
    const { annotations } = this.#options;
    return annotations === undefined ? metadata.annotations : { ...metadata.annotations, ...annotations };
  }

  #ownSpec(old: LeaseSpec | undefined): LeaseSpec {
    const now = this.#microTime();
    const kept = old?.holderIdentity === this.#options.identity;
    const transitions = old?.leaseTransitions ?? 0;
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#durationMs / 1000),
      renewTime: now,
      acquireTime: kept ? old.acquireTime : now,
      leaseTransitions: old === undefined || kept ? transitions : transitions + 1,
    };
  }

  #microTime(): string {
    return new Date(this.#options.clock.now()).toISOString().replace("Z", "000Z");
  }
}
