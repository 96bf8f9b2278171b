/**
 * Sends a container the stop signal that its specification names, where the runtime does not know of such a field (CRI
 * before 1.33, which is every containerd before 2.2) and would send its image's.
 * Differs from upstream: there such a runtime sends SIGTERM instead, because only the runtime ever sends signals.
 */
import type { ObservedContainer } from "../core/observed-pod.ts";
import { signalNumber } from "../core/signal-number.ts";
import type { PodContext } from "./pod-context.ts";

const POLL_MS = 100;

export interface StopRequest {
  readonly target: ObservedContainer;
  /** lifecycle.stopSignal */
  readonly wanted: string | undefined;
  readonly seconds: number;
}

/** "kill": it had its signal, and all the time that it was given; "runtime": stopping is left to the runtime. */
export async function stopBySignal(
  { runtime, clock, log }: Pick<PodContext, "runtime" | "clock" | "log">,
  { target, wanted, seconds }: StopRequest,
  signal: AbortSignal,
): Promise<"kill" | "runtime"> {
  const number = wanted === undefined ? undefined : signalNumber(wanted);
  if (number === undefined || target.stopSignal !== undefined || target.state !== "running") return "runtime";
  const pid = await runtime.containerPid?.(target.id, { signal });
  if (pid === undefined) return "runtime";
  try {
    process.kill(pid, number);
  } catch (error) {
    // It ended just now (ESRCH), or is not ours to signal: the runtime sees to the rest.
    log.debug({ err: error, container: target.name }, "stop signal not sent");
    return "runtime";
  }
  const deadline = clock.monotonicMs() + seconds * 1000;
  while (clock.monotonicMs() < deadline) {
    await clock.sleep(POLL_MS, signal);
    const { state } = await runtime.containerStatus(target.id, { signal });
    if (state !== "running") break;
  }
  return "kill";
}
