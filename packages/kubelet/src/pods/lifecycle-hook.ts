/** Runs postStart and preStop handlers. */
import type { Container, LifecycleHandler } from "@knarr/api/generated/types/core-v1.ts";
import type { StreamService } from "@knarr/cri/runtime.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { httpGet } from "../probes/http-probe.ts";
import { httpTarget } from "../probes/probe-request.ts";

export interface HookTarget {
  readonly containerId: string;
  readonly container: Container;
  readonly podIp: string;
}

export interface HookOptions {
  readonly runtime: StreamService;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves when the handler succeeded; throws an Error that says why it did not. */
export async function runHook(handler: LifecycleHandler, target: HookTarget, options: HookOptions): Promise<void> {
  if (handler.exec !== undefined) {
    const command = handler.exec.command ?? [];
    const { exitCode, stdout, stderr } = await options.runtime.execSync(
      target.containerId,
      command,
      options.timeoutMs,
      {
        signal: options.signal,
      },
    );
    if (exitCode === 0) return;
    const output = Buffer.concat([stdout, stderr]).toString("utf8", 0, 1024);
    throw new Error(`command '${command.join(" ")}' exited with ${exitCode}: ${output}`);
  }
  if (handler.httpGet !== undefined) {
    const { status } = await httpGet(
      httpTarget(handler.httpGet, target.container, target.podIp),
      "kube-lifecycle/1.36",
      options.timeoutMs,
    );
    if (status >= 200 && status < 400) return;
    throw new Error(`HTTP handler failed with statuscode: ${status}`);
  }
  if (handler.sleep !== undefined) {
    await options.clock.sleep(Math.min(handler.sleep.seconds * 1000, options.timeoutMs), options.signal);
    return;
  }
  // Source: upstream's runHandler: tcpSocket is kept in the API for old objects only, and fails.
  throw new Error("invalid handler: only exec, httpGet and sleep can be run");
}
