/**
 * Leases for objects with a time to live. Objects that are written about the same time share one lease: etcd holds thousands of events
 * on a handful of leases. An object lives at least as long as asked for, and at most REUSE_SHARE longer.
 * Source: k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go
 */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { LeaseGranter } from "./key-value.ts";

const MAX_OBJECTS = 1_000;
const MAX_REUSE_SECONDS = 60;
const REUSE_SHARE = 0.05;

interface SharedLease {
  readonly id: Promise<string>;
  readonly reuseUntilMs: number;
  objects: number;
}

export class LeasePool {
  readonly #granter: LeaseGranter;
  readonly #clock: Clock;
  readonly #leases = new Map<number, SharedLease>();

  constructor(granter: LeaseGranter, clock: Clock) {
    this.#granter = granter;
    this.#clock = clock;
  }

  /** A lease that lives at least `ttlSeconds` from now. */
  async leaseFor(ttlSeconds: number): Promise<string> {
    const nowMs = this.#clock.monotonicMs();
    let lease = this.#leases.get(ttlSeconds);
    if (lease === undefined || lease.reuseUntilMs < nowMs || lease.objects >= MAX_OBJECTS) {
      const reuseSeconds = Math.min(MAX_REUSE_SECONDS, Math.ceil(ttlSeconds * REUSE_SHARE));
      lease = {
        id: this.#granter.grantLease(ttlSeconds + reuseSeconds),
        reuseUntilMs: nowMs + reuseSeconds * 1000,
        objects: 0,
      };
      this.#leases.set(ttlSeconds, lease);
    }
    lease.objects++;
    try {
      return await lease.id;
    } catch (error) {
      this.forget(ttlSeconds);
      throw error;
    }
  }

  /** Stops sharing the current lease (etcd lost it, or never granted it). */
  forget(ttlSeconds: number): void {
    this.#leases.delete(ttlSeconds);
  }
}
