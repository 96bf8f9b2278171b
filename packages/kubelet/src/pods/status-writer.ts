/**
 * Reports pod statuses to the API. Keeps the newest status of every pod and writes it, one write per pod at a time, so
 * that versions never go backwards; what others wrote into the status stays. The only writer of pod statuses.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, PodStatus } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { planStatusPatch } from "../core/status-patch.ts";
import type { StatusSink } from "./pod-context.ts";

export interface StatusWriterOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** The API's object for a pod: itself, or a static pod's mirror; undefined when there is none (yet). */
  readonly apiPod: (pod: Pod) => Pod | undefined;
}

interface Entry {
  pod: Pod;
  wanted: PodStatus;
  version: number;
  written: number;
  /** The object as our last write returned it; newer than the informer's for a moment. */
  answered: Pod | undefined;
  pump: Promise<void> | undefined;
}

export class StatusWriter implements StatusSink {
  readonly #options: StatusWriterOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #backoff = new Backoff({ initialMs: 200, maxMs: 10_000, factor: 2, jitter: 0.2 });

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  current(pod: Pod): PodStatus {
    const entry = this.#entries.get(pod.metadata.uid ?? "");
    const own = entry?.wanted ?? this.#options.apiPod(pod)?.status ?? pod.status ?? {};
    // Conditions that others set (readiness gates) come with the newest object, not with what we computed.
    const others = pod.status?.conditions?.filter((c) => own.conditions?.some((o) => o.type === c.type) !== true) ?? [];
    return others.length === 0 ? own : { ...own, conditions: [...(own.conditions ?? []), ...others] };
  }

  set(pod: Pod, status: PodStatus): void {
    const uid = pod.metadata.uid ?? "";
    const entry = this.#entries.get(uid);
    if (entry === undefined) {
      this.#entries.set(uid, { pod, wanted: status, version: 1, written: 0, answered: undefined, pump: undefined });
    } else {
      entry.pod = pod;
      entry.wanted = status;
      entry.version++;
    }
    this.#start(uid);
  }

  /** The API's object changed: whatever of ours got lost in it is written again. */
  reconcile(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    entry.pod = pod;
    // Also while a write is under way: it may have looked before this change (or before there was an object at all).
    entry.version++;
    this.#start(uid);
  }

  async finish(pod: Pod): Promise<void> {
    const uid = pod.metadata.uid ?? "";
    await this.#entries.get(uid)?.pump;
    const target = this.#options.apiPod(pod);
    if (target === undefined) return;
    const { client, signal } = this.#options;
    const preconditions = target.metadata.uid === undefined ? {} : { uid: target.metadata.uid };
    try {
      await client.delete(core.pods, keyOf(target), { gracePeriodSeconds: 0, preconditions, signal });
    } catch (error) {
      // Gone, or another pod of the same name by now: either way ours is no more.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  forget(uid: string): void {
    this.#entries.delete(uid);
    this.#backoff.reset(uid);
  }

  #start(uid: string): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined || entry.pump !== undefined) return;
    entry.pump = this.#pump(uid, entry).finally(() => {
      entry.pump = undefined;
      if (entry.written < entry.version && this.#entries.get(uid) === entry && !this.#options.signal.aborted) {
        this.#start(uid);
      }
    });
  }

  async #pump(uid: string, entry: Entry): Promise<void> {
    const { signal, clock, log } = this.#options;
    while (entry.written < entry.version && this.#entries.get(uid) === entry && !signal.aborted) {
      const version = entry.version;
      try {
        await this.#write(entry);
        entry.written = version;
        this.#backoff.reset(uid);
      } catch (error) {
        if (signal.aborted) return;
        if (isNotFound(error) || isConflict(error)) {
          // Deleted, or replaced by another pod of the same name: nobody waits for this status.
          entry.written = version;
          return;
        }
        log.warn({ err: error, pod: entry.pod.metadata.name }, "pod status not written");
        await clock.sleep(this.#backoff.next(uid), signal).catch(() => undefined);
      }
    }
  }

  async #write(entry: Entry): Promise<void> {
    const target = this.#newest(entry);
    if (target === undefined) return;
    const patch = planStatusPatch(target.metadata.uid ?? "", target.status ?? {}, entry.wanted);
    if (patch === undefined) return;
    const { client, signal } = this.#options;
    entry.answered = await client.patch(
      core.pods,
      keyOf(target),
      { type: "strategic", body: patch },
      { subresource: "status", signal },
    );
  }

  #newest(entry: Entry): Pod | undefined {
    const seen = this.#options.apiPod(entry.pod);
    const { answered } = entry;
    if (seen === undefined || answered === undefined || answered.metadata.uid !== seen.metadata.uid) return seen;
    const version = (pod: Pod) => BigInt(pod.metadata.resourceVersion ?? "0");
    return version(answered) > version(seen) ? answered : seen;
  }
}

/** For a kubelet without API server: statuses are kept and served on /pods only. */
export class LocalStatus implements StatusSink {
  readonly #statuses = new Map<string, PodStatus>();

  current(pod: Pod): PodStatus {
    return this.#statuses.get(pod.metadata.uid ?? "") ?? pod.status ?? {};
  }

  set(pod: Pod, status: PodStatus): void {
    this.#statuses.set(pod.metadata.uid ?? "", status);
  }

  async finish(): Promise<void> {}

  forget(uid: string): void {
    this.#statuses.delete(uid);
  }
}
