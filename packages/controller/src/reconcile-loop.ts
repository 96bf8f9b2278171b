/**
 * Workers that take keys from a queue and reconcile them. The reconciler gets nothing but the key, reads the world from
 * its listers, and returns how it went; the one switch here requeues, counts and logs.
 */
import { isConflict } from "@knarr/apimachinery/status-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { WorkQueue } from "./work-queue.ts";

export type Result =
  /** Nothing more to do until something changes. */
  | { readonly kind: "done" }
  /** Look again in `ms`, whatever happens. */
  | { readonly kind: "after"; readonly ms: number }
  /** Wrong in a way that trying again won't mend; only a change of the object may. */
  | { readonly kind: "terminal"; readonly error: unknown };

export const done: Result = Object.freeze({ kind: "done" });
export const after = (ms: number): Result => ({ kind: "after", ms });
export const terminal = (error: unknown): Result => ({ kind: "terminal", error });

export type Outcome = Result["kind"] | "conflict" | "error";

export interface ReconcileContext {
  readonly signal: AbortSignal;
}

export interface ControllerLoop {
  /** Keys worked on at the same time. */
  readonly workers: number;
  readonly queue: WorkQueue;
  /** Idempotent; throws what should be tried again with back-off (conflicts silently). */
  readonly reconcile: (key: string, context: ReconcileContext) => Promise<Result>;
  /** A child logger that names the controller. */
  readonly log: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly observe?: ((outcome: Outcome) => void) | undefined;
}

/** Runs until the signal aborts and the workers have finished what they had in hand. */
export async function runController(loop: ControllerLoop): Promise<void> {
  const { queue, signal } = loop;
  const stop = () => queue.shutDown();
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  await Promise.all(Array.from({ length: loop.workers }, () => work(loop)));
  signal.removeEventListener("abort", stop);
}

async function work(loop: ControllerLoop): Promise<void> {
  const { queue, signal } = loop;
  for (let key = await queue.get(); key !== undefined; key = await queue.get()) {
    // Shut down: the queue hands out what was waiting, and the next leader will find it again.
    if (!signal.aborted) await workOn(loop, key);
    queue.done(key);
  }
}

async function workOn(loop: ControllerLoop, key: string): Promise<void> {
  const { queue, log, signal } = loop;
  let result: Result;
  try {
    result = await loop.reconcile(key, { signal });
  } catch (error) {
    if (signal.aborted) return;
    const conflict = isConflict(error);
    loop.observe?.(conflict ? "conflict" : "error");
    // A conflict only says that the cache was behind: not worth a line.
    if (conflict) log.debug({ key }, "conflict, trying again");
    else log.warn({ key, err: error, failures: queue.failures(key) + 1 }, "reconcile failed");
    queue.addRateLimited(key, conflict ? "conflict" : "error");
    return;
  }
  loop.observe?.(result.kind);
  switch (result.kind) {
    case "done":
      queue.forget(key);
      break;
    case "after":
      queue.forget(key);
      queue.addAfter(key, result.ms);
      break;
    case "terminal":
      queue.forget(key);
      log.error({ key, err: result.error }, "reconcile gave up");
      break;
    default:
      result satisfies never;
  }
}
