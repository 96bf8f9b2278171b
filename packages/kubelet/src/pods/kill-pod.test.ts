import assert from "node:assert/strict";
import { test } from "node:test";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { container, observed, pod, ran } from "../core/testing.ts";
import { killPod } from "./kill-pod.ts";
import type { PodContext } from "./pod-context.ts";
import { PodEvents } from "./pod-events.ts";

/** Ends a pod of a sidecar and two containers in a runtime that notes the order, and refuses what it is told to refuse. */
async function kill(refused: readonly string[]) {
  const told: string[] = [];
  const stop = async (id: string) => {
    if (refused.includes(id)) throw new RuntimeError("Unknown", "no");
    told.push(`stopped ${id}`);
  };
  const context = {
    clock: new FakeClock(),
    log: { debug: () => undefined, warn: () => undefined },
    events: new PodEvents({ event: (_about, type, reason, message) => told.push(`${type} ${reason}: ${message}`) }),
    runtime: { stopContainer: stop, stopSandbox: stop },
  } as unknown as PodContext;
  const thePod = pod({
    initContainers: [container("side", { restartPolicy: "Always" })],
    containers: [container("a"), container("b")],
  });
  const seen = observed([ran("a"), ran("b"), ran("side")]);
  const { signal } = new AbortController();
  let error: unknown;
  try {
    await killPod(context, thePod, seen, { graceSeconds: 5, signal });
  } catch (caught) {
    error = caught;
  }
  return { told: told.filter((line) => !line.includes("Killing")), message: (error as Error | undefined)?.message };
}

test("killPod() stops containers, then sidecars, then the sandbox", async () => {
  assert.deepEqual(await kill([]), {
    told: ["stopped a-0", "stopped b-0", "stopped side-0", "stopped s0"],
    message: undefined,
  });
});

const no = '"rpc error: code = Unknown desc = no"';
const FAILURES: readonly [refused: readonly string[], stopped: readonly string[], want: string][] = [
  [["a-0"], ["b-0", "side-0"], `failed to "KillContainer" for "a" with KillContainerError: ${no}`],
  [
    ["a-0", "side-0"],
    ["b-0"],
    `[failed to "KillContainer" for "a" with KillContainerError: ${no}, failed to "KillContainer" for "side" with KillContainerError: ${no}]`,
  ],
  [["s0"], ["a-0", "b-0", "side-0"], `failed to "KillPodSandbox" for "u1" with KillPodSandboxError: ${no}`],
];
for (const [refused, stopped, want] of FAILURES) {
  test(`killPod() spares nobody and tells what failed when ${refused.join(" and ")} can't be stopped`, async () => {
    assert.deepEqual(await kill(refused), {
      told: [...stopped.map((id) => `stopped ${id}`), `Warning FailedKillPod: error killing pod: ${want}`],
      message: want,
    });
  });
}
