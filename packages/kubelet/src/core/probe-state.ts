/**
 * What consecutive probe results mean. Pure: one step per result.
 *
 *   liveness   starts as success; failureThreshold failures in a row -> failure (the container is killed, then held)
 *   readiness  starts as failure; successThreshold successes -> success; failureThreshold failures -> failure
 *   startup    starts as unknown; one success -> success and no more probes; failureThreshold failures -> failure
 * Source: kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes
 */
import type { Probe } from "@knarr/api/generated/types/core-v1.ts";
import type { ProbeOutcome } from "./pod-actions.ts";

export type ProbeKind = "liveness" | "readiness" | "startup";
export type ProbeResult = "success" | "failure" | "unknown";

export interface ProbeState {
  readonly outcome: ProbeOutcome;
  readonly last: ProbeResult | undefined;
  /** How many times `last` came in a row. */
  readonly run: number;
  /** Nothing more is to be asked of this container. */
  readonly held: boolean;
}

export function initialProbeState(kind: ProbeKind): ProbeState {
  const outcome = { liveness: "success", readiness: "failure", startup: "unknown" } as const;
  return { outcome: outcome[kind], last: undefined, run: 0, held: false };
}

/** The state after one more result. A probe that could not be made ("unknown") changes nothing. */
export function advanceProbe(kind: ProbeKind, probe: Probe, state: ProbeState, result: ProbeResult): ProbeState {
  if (result === "unknown" || state.held) return state;
  const run = result === state.last ? state.run + 1 : 1;
  const threshold = result === "failure" ? (probe.failureThreshold ?? 3) : (probe.successThreshold ?? 1);
  if (run < threshold) return { ...state, last: result, run };
  const held = result === "failure" ? kind !== "readiness" : kind === "startup";
  return { outcome: result, last: result, run, held };
}

/** Waits between probes, in milliseconds. */
export function probeTiming(probe: Probe): { initialDelayMs: number; periodMs: number; timeoutMs: number } {
  return {
    initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: Math.max(1, probe.periodSeconds ?? 10) * 1000,
    timeoutMs: Math.max(1, probe.timeoutSeconds ?? 1) * 1000,
  };
}

const QUICK_FIRST_MS = 50;

/**
 * Wait before the next probe of a container that has not succeeded yet: 50 ms doubling up to the period.
 * Differs from upstream: upstream waits whole periods. Failures of the attempts in between are not counted and not
 * reported, so that only a success comes sooner, because a pod that serves after 100 ms is Ready then and not a period later.
 */
export function quickWaitMs(attempt: number, periodMs: number): number {
  return Math.min(periodMs, QUICK_FIRST_MS * 2 ** Math.min(attempt, 16));
}
