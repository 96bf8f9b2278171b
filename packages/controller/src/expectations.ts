/**
 * What a controller has asked for and not yet seen in its cache, so that it doesn't ask twice while the watch is behind.
 *
 * Example: a ReplicaSet of 3 creates 3 pods -> expectCreations(key, 3); each `added` event -> creationObserved(key); until
 * all three came (or 5 minutes passed), satisfied(key) is false and the ReplicaSet leaves its pods alone.
 * Deletions are expected by uid, so that an update of a pod which is already going, and its deletion, count once.
 * Source: kubernetes/pkg/controller/controller_utils.go UIDTrackingControllerExpectations
 */
import type { Clock } from "@knarr/daemon/clock.ts";

/** Longer than any watch delay; after it, the controller believes its cache again. */
const TIMEOUT_MS = 5 * 60_000;

interface Expected {
  creations: number;
  readonly deletions: Set<string>;
  readonly atMs: number;
}

export class Expectations {
  readonly #clock: Clock;
  readonly #expected = new Map<string, Expected>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call before the requests are sent: their events may arrive before the answers do. Replaces older expectations. */
  expectCreations(key: string, count: number): void {
    this.#expected.set(key, { creations: count, deletions: new Set(), atMs: this.#clock.monotonicMs() });
  }

  expectDeletions(key: string, uids: readonly string[]): void {
    this.#expected.set(key, { creations: 0, deletions: new Set(uids), atMs: this.#clock.monotonicMs() });
  }

  /** Both at once; replaces older expectations. */
  expect(key: string, of: { readonly creations: number; readonly deletions: readonly string[] }): void {
    const { creations, deletions } = of;
    this.#expected.set(key, { creations, deletions: new Set(deletions), atMs: this.#clock.monotonicMs() });
  }

  /** A creation was seen, or its request failed. */
  creationObserved(key: string): void {
    const expected = this.#expected.get(key);
    if (expected !== undefined) expected.creations = Math.max(0, expected.creations - 1);
  }

  /** The deletion of `uid` was seen (begun or complete), or its request failed. */
  deletionObserved(key: string, uid: string): void {
    this.#expected.get(key)?.deletions.delete(uid);
  }

  /** Whether the cache shows everything asked for, or it was asked too long ago. */
  satisfied(key: string): boolean {
    const expected = this.#expected.get(key);
    if (expected === undefined) return true;
    if (expected.creations === 0 && expected.deletions.size === 0) return true;
    return this.#clock.monotonicMs() - expected.atMs > TIMEOUT_MS;
  }

  /** The owner is gone. */
  forget(key: string): void {
    this.#expected.delete(key);
  }
}
