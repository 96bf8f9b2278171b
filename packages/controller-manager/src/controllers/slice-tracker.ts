/**
 * What the endpointslice controller has written and not yet seen in its cache, so that it doesn't plan on a state that is
 * older than its own writes. Source: k8s.io/endpointslice EndpointSliceTracker
 *
 * Example: wrote slice a at version 7 -> stale while the cache has a at 5 or not at all -> at 7, or 9, it is fresh. What
 * doesn't show up within half a minute is given up: somebody else deleted it in between.
 */
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";

interface Expected {
  /** The version written; "deleted" when the slice should be gone. */
  readonly version: bigint | "deleted";
  readonly atMs: number;
}

const GIVE_UP_MS = 30_000;

export class SliceTracker {
  /** Service key -> slice uid -> what to expect. */
  readonly #expected = new Map<string, Map<string, Expected>>();

  wrote(serviceKey: string, slice: EndpointSlice, nowMs: number): void {
    this.#expect(serviceKey, slice, { version: BigInt(slice.metadata.resourceVersion ?? "0"), atMs: nowMs });
  }

  deleted(serviceKey: string, slice: EndpointSlice, nowMs: number): void {
    this.#expect(serviceKey, slice, { version: "deleted", atMs: nowMs });
  }

  /** Whether `cached`, all slices of the Service in the cache, misses a write of ours. */
  isStale(serviceKey: string, cached: readonly EndpointSlice[], nowMs: number): boolean {
    const slices = this.#expected.get(serviceKey);
    if (slices === undefined) return false;
    const versions = new Map(cached.map(({ metadata }) => [metadata.uid, BigInt(metadata.resourceVersion ?? "0")]));
    for (const [uid, { version, atMs }] of slices) {
      const seen = versions.get(uid);
      const fresh = version === "deleted" ? seen === undefined : seen !== undefined && seen >= version;
      if (fresh || nowMs - atMs > GIVE_UP_MS) slices.delete(uid);
    }
    if (slices.size > 0) return true;
    this.#expected.delete(serviceKey);
    return false;
  }

  #expect(serviceKey: string, slice: EndpointSlice, expected: Expected): void {
    let slices = this.#expected.get(serviceKey);
    if (slices === undefined) {
      slices = new Map();
      this.#expected.set(serviceKey, slices);
    }
    slices.set(slice.metadata.uid ?? "", expected);
  }
}
