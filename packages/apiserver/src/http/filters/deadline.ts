/** Ends requests that take too long; watches, logs and streams may take as long as they like. */
import { DurationError, parseDurationMs } from "@knarr/apimachinery/duration.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { Bag } from "@knarr/daemon/bag.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { RequestContext } from "../request-context.ts";
import type { Filter, FilterEnvironment } from "./filter.ts";

/** Source: k8s.io/kubernetes/cmd/kube-apiserver: BasicLongRunningRequestCheck. */
const LONG_RUNNING_SUBRESOURCES = new Set(["attach", "exec", "proxy", "log", "portforward"]);

export function isLongRunning(context: RequestContext): boolean {
  const { info } = context;
  return info.isResourceRequest && (info.verb === "watch" || LONG_RUNNING_SUBRESOURCES.has(info.subresource));
}

export const deadline: Filter = (context, env, next) => {
  context.longRunning = isLongRunning(context);
  if (context.longRunning) return next(context);
  const limitMs = Math.min(env.requestTimeoutMs, askedTimeoutMs(context) ?? Number.POSITIVE_INFINITY);
  let deadlines = deadlinesOf.get(env);
  if (deadlines === undefined) {
    deadlines = new Deadlines(env.clock);
    deadlinesOf.set(env, deadlines);
  }
  const all = deadlines;
  return new Promise<void>((resolve, reject) => {
    const remove = all.add(limitMs, () => {
      const error = statusErrors.timeout("request did not complete within the allotted timeout");
      context.abort(error);
      reject(error);
    });
    next(context).then(
      () => {
        remove();
        resolve();
      },
      (error: unknown) => {
        remove();
        reject(error);
      },
    );
  });
};

const deadlinesOf = new WeakMap<FilterEnvironment, Deadlines>();

/** A timer of its own for every request costs more than looking through all of them a few times a second; short limits are worth one. */
const COARSE_MS = 250;
const SHORT_MS = 5_000;

interface Deadline {
  readonly dueMs: number;
  readonly late: () => void;
}

class Deadlines {
  readonly #clock: Clock;
  readonly #waiting = new Bag<Deadline>();
  #isTicking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `late` once after `limitMs`, or up to COARSE_MS later if that is long; returns what cancels it. */
  add(limitMs: number, late: () => void): () => void {
    if (limitMs <= SHORT_MS) return this.#clock.setTimeout(late, limitMs);
    const slot = this.#waiting.add({ dueMs: this.#clock.monotonicMs() + limitMs, late });
    if (!this.#isTicking) this.#tick();
    return () => void this.#waiting.remove(slot);
  }

  #tick(): void {
    this.#isTicking = this.#waiting.size > 0;
    if (!this.#isTicking) return;
    this.#clock.setTimeout(() => {
      const nowMs = this.#clock.monotonicMs();
      for (const { late } of this.#waiting.take(({ dueMs }) => dueMs <= nowMs)) late();
      this.#tick();
    }, COARSE_MS);
  }
}

function askedTimeoutMs(context: RequestContext): number | undefined {
  const text = context.query.get("timeout");
  if (text === null || text === "") return undefined;
  try {
    const ms = parseDurationMs(text);
    return ms > 0 ? ms : undefined;
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    throw statusErrors.badRequest(`invalid timeout specified in the request URL - ${error.message}`);
  }
}
