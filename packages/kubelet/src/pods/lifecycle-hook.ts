/** Runs postStart and preStop handlers. */
import type { Container, LifecycleHandler, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { StreamService } from "@knarr/cri/runtime.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { podName } from "../core/security-context.ts";
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

/** Of what a hook says; it goes into the pod's status. */
const MAX_SAID_BYTES = 1024;

/** A command that failed, and all that it said. */
export class HookFailure extends Error {
  readonly output: string;
  constructor(message: string, output: string) {
    super(message);
    this.output = output;
  }
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
    const said = (parts: readonly Buffer[]) => Buffer.concat([...parts]).toString("utf8", 0, MAX_SAID_BYTES);
    const why = `command '${command.join(" ")}' exited with ${exitCode}: ${said([stderr])}`;
    throw new HookFailure(why, said([stdout, stderr]));
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

/** What a pod's status says of a hook that failed. Source: pkg/kubelet/lifecycle/handlers.go */
export function hookFailureMessage(handler: LifecycleHandler, container: Container, pod: Pod, error: unknown): string {
  const why = error instanceof Error ? error.message : String(error);
  const told = (kind: string, what: string) =>
    `${kind} lifecycle hook (${what}) for Container ${JSON.stringify(container.name)} in Pod ${JSON.stringify(podName(pod))} failed - error: ${why}`;
  if (handler.exec !== undefined) {
    const output = error instanceof HookFailure ? error.output : "";
    return `${told("Exec", `[${(handler.exec.command ?? []).join(" ")}]`)}, message: ${JSON.stringify(output)}`;
  }
  if (handler.httpGet !== undefined) return told("HTTP", handler.httpGet.path ?? "");
  if (handler.sleep !== undefined) return told("Sleep", String(handler.sleep.seconds));
  return `Cannot run handler: ${why}`;
}
