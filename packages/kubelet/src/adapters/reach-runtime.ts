/** The way to the container runtime: opened as configured, counted, and waited for. */
import { join } from "node:path";
import { openRuntime } from "@knarr/cri/open-runtime.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import type { Config } from "../config.ts";
import { timedRuntime } from "../pods/timed-runtime.ts";
import type { KubeletMetrics } from "../server/kubelet-metrics.ts";

export interface ReachedRuntime {
  readonly runtime: Runtime;
  /** "containerd" */
  readonly runtimeName: string;
}

/** Resolves when the runtime answers. Throws when the endpoint is none, or the signal aborts. */
export async function reachRuntime(
  config: Config,
  daemon: DaemonContext,
  metrics: KubeletMetrics,
): Promise<ReachedRuntime> {
  const { clock, log } = daemon;
  const opened = await openRuntime(config.containerRuntimeEndpoint, {
    requestTimeoutMs: config.runtimeRequestTimeoutMs,
    stateDirectory: join(config.rootDir, "docker"),
    cniConfDir: config.cniConfDir,
    cniBinDirs: config.cniBinDir,
    ...(config.podInfraContainerImage === "" ? {} : { sandboxImage: config.podInfraContainerImage }),
  });
  // Read by npm run bench:pods.
  const timed = log.isLevelEnabled("trace");
  const counted = metrics.watch(opened);
  const runtime = timed ? timedRuntime(counted, clock, (call) => log.trace(call, "runtime call")) : counted;
  return { runtime, runtimeName: await waitForRuntime(runtime, daemon) };
}

/** Waits for the socket: the kubelet is often started together with its runtime. */
async function waitForRuntime(runtime: Runtime, { clock, log, signal }: DaemonContext): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return (await runtime.version({ signal })).runtimeName;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt % 50 === 0) log.warn({ err: error }, "waiting for the container runtime");
      await clock.sleep(200, signal);
    }
  }
}
