/**
 * The states of a pod on this node and the only ways between them. Pure.
 *
 *   syncing ──── deleted, removed, evicted ────> terminating ── stopped ──> terminated ── cleaned ──> gone
 *      │                                          ^    │
 *      └──── finished (it ran to its end) ────────┘    └─ deleted again: a shorter grace, never a longer one
 *
 * syncing      containers are started, restarted, probed
 * terminating  nothing is started; what runs is stopped within the grace
 * terminated   nothing runs; volumes, cgroups and sandboxes are being taken away, the final status written
 * gone         the worker may be forgotten; a finished pod stays terminated until the API drops it
 */

export type TerminationCause = "deleted" | "removed" | "evicted" | "finished";

export type PodLifecycle =
  | { readonly state: "syncing" }
  | {
      readonly state: "terminating";
      readonly cause: TerminationCause;
      readonly graceSeconds: number;
      readonly since: number;
    }
  | { readonly state: "terminated"; readonly cause: TerminationCause }
  | { readonly state: "gone" };

export type LifecycleEvent =
  | {
      readonly type: "terminate";
      readonly cause: TerminationCause;
      readonly graceSeconds: number;
      readonly now: number;
    }
  | { readonly type: "stopped" }
  | { readonly type: "cleaned" };

/** A container is always given a second to end, even by a deletion with grace 0. Source: upstream's minimum grace. */
const MIN_GRACE_SECONDS = 1;

/** The state after an event; the same object when the event changes nothing. Throws on a step that cannot happen. */
export function advanceLifecycle(current: PodLifecycle, event: LifecycleEvent): PodLifecycle {
  switch (event.type) {
    case "terminate":
      return terminate(current, event);
    case "stopped":
      if (current.state !== "terminating") throw new Error(`a pod that is ${current.state} cannot be stopped`);
      return { state: "terminated", cause: current.cause };
    case "cleaned":
      if (current.state !== "terminated") throw new Error(`a pod that is ${current.state} cannot be cleaned`);
      return { state: "gone" };
    default:
      return event satisfies never;
  }
}

function terminate(current: PodLifecycle, event: LifecycleEvent & { type: "terminate" }): PodLifecycle {
  const graceSeconds = Math.max(MIN_GRACE_SECONDS, event.graceSeconds);
  switch (current.state) {
    case "syncing":
      return { state: "terminating", cause: event.cause, graceSeconds, since: event.now };
    case "terminating":
      if (graceSeconds >= current.graceSeconds && event.cause === current.cause) return current;
      return { ...current, cause: event.cause, graceSeconds: Math.min(graceSeconds, current.graceSeconds) };
    case "terminated":
      return event.cause === current.cause ? current : { ...current, cause: event.cause };
    case "gone":
      return current;
    default:
      return current satisfies never;
  }
}
