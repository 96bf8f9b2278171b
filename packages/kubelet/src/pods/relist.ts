/**
 * Notices what happens in the runtime: its event stream where it has one, and a list of everything every second (every
 * five while events come and tell of nothing), which is compared with the list before. Tells which pods changed, never what: the pod's worker looks for itself.
 */
import type { Runtime } from "@knarr/cri/runtime.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { RuntimeContainer, Sandbox } from "@knarr/cri/types.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { Labels } from "../core/observed-pod.ts";

export interface RelistOptions {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onChange: (podUid: string) => void;
  /** A list took so long; `sinceLastMs` lies between its start and that of the one before. */
  readonly onRelist?: (ms: number, sinceLastMs: number | undefined) => void;
}

/** Everything in the runtime that is a pod's, from the last list. */
export interface RuntimeSnapshot {
  /** When it was begun, on the steady clock, so that a jump of the other neither ages nor rejuvenates it. */
  readonly at: number;
  /** How many lists differed from the one before: the same number, the same pods in the same states. */
  readonly changes: number;
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly RuntimeContainer[];
}

const PERIOD_MS = 1000;
/**
 * While the event stream is known to work and is silent. Differs from upstream: its evented PLEG lists every five minutes
 * then, because events that get lost should cost seconds and no more.
 */
const BACKSTOP_MS = 5000;
const EVENT_RETRY_MS = 5000;

/** One line per pod of all its sandboxes and containers with their states; equal lines mean that nothing happened. */
export function signatures(snapshot: Pick<RuntimeSnapshot, "sandboxes" | "containers">): Map<string, string> {
  const parts = new Map<string, string[]>();
  const add = (uid: string | undefined, part: string) => {
    if (uid === undefined) return;
    const list = parts.get(uid);
    if (list === undefined) parts.set(uid, [part]);
    else list.push(part);
  };
  for (const s of snapshot.sandboxes) add(s.labels[Labels.podUid], `${s.id}=${s.state}`);
  for (const c of snapshot.containers) add(c.labels[Labels.podUid], `${c.id}=${c.state}`);
  return new Map([...parts].map(([uid, list]) => [uid, list.toSorted().join(" ")]));
}

export class Relist {
  readonly #options: RelistOptions;
  #last: RuntimeSnapshot | undefined;
  #signatures = new Map<string, string>();
  #changes = 0;
  #startedAt: number | undefined;
  /** Whether this event stream told something yet: one that never did may not be there at all. */
  #following = false;
  /** Something happened since the last list was begun. */
  #stale = false;

  constructor(options: RelistOptions) {
    this.#options = options;
  }

  /** undefined before the first list. */
  get snapshot(): RuntimeSnapshot | undefined {
    return this.#last;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const events = this.#follow(signal);
    while (!signal.aborted) {
      try {
        if (this.#isDue()) await this.relist(signal);
      } catch (error) {
        if (signal.aborted) break;
        // The runtime is away: the node's condition says so, and the next list may succeed.
        log.warn({ err: error }, "runtime list failed");
      }
      await clock.sleep(PERIOD_MS, signal).catch(() => undefined);
    }
    await events;
  }

  #isDue(): boolean {
    if (!this.#following || this.#stale || this.#last === undefined) return true;
    return this.#options.clock.monotonicMs() - this.#last.at >= BACKSTOP_MS;
  }

  async relist(signal: AbortSignal): Promise<void> {
    const { runtime, clock, onChange, onRelist } = this.#options;
    const startedAt = clock.monotonicMs();
    const before = this.#startedAt;
    this.#startedAt = startedAt;
    this.#stale = false;
    const [sandboxes, containers] = await Promise.all([
      runtime.listSandboxes({}, { signal }),
      runtime.listContainers({}, { signal }),
    ]);
    const now = signatures({ sandboxes, containers });
    const old = this.#signatures;
    this.#signatures = now;
    const changed = [...new Set([...old.keys(), ...now.keys()])].filter((uid) => old.get(uid) !== now.get(uid));
    if (changed.length > 0) this.#changes++;
    this.#last = { at: startedAt, changes: this.#changes, sandboxes, containers };
    onRelist?.(clock.monotonicMs() - startedAt, before === undefined ? undefined : startedAt - before);
    for (const uid of changed) onChange(uid);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { runtime, clock, log, onChange } = this.#options;
    while (!signal.aborted) {
      try {
        for await (const event of runtime.events(signal)) {
          this.#following = true;
          this.#stale = true;
          if (event.podUid !== "") onChange(event.podUid);
        }
      } catch (error) {
        if (error instanceof RuntimeError && error.code === "Unimplemented") {
          log.info({}, "the runtime has no event stream, changes are found by listing");
          return;
        }
        if (!signal.aborted) log.debug({ err: error }, "runtime event stream broke");
      }
      this.#following = false;
      await clock.sleep(EVENT_RETRY_MS, signal).catch(() => undefined);
    }
  }
}
