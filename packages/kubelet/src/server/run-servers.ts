/** The kubelet's servers: health on its own port, everything else on 10250 (server.ts). */
import type { Client } from "@knarr/client/client.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { Config } from "../config.ts";
import type { NodeState } from "../node/node-state.ts";
import type { PodContext } from "../pods/pod-context.ts";
import type { PodSet } from "../pods/pod-set.ts";
import type { Relist } from "../pods/relist.ts";

export interface Serving {
  readonly config: Config;
  readonly context: PodContext;
  readonly state: NodeState;
  readonly relist: Relist;
  readonly pods: PodSet;
  /** undefined without an API server: then nobody can be authorised but by certificate. */
  readonly client: Client | undefined;
  readonly onPort: (port: number) => void;
}

/** Why the kubelet is not healthy. */
export function healthProblem({ state, relist, context }: Serving): string | undefined {
  const last = relist.snapshot?.at;
  if (last === undefined || context.clock.now() - last > 120_000) return "the sync loop does not see the runtime";
  return state.problems().find((problem) => problem.startsWith("PLEG"));
}

export async function runServers(serving: Serving, signal: AbortSignal): Promise<void> {
  const { config, context } = serving;
  const waits: Promise<void>[] = [];
  if (config.healthzPort !== 0) {
    const checks = { ping: () => undefined, syncloop: () => healthProblem(serving) };
    const health = await serveHealth({
      host: config.healthzBindAddress,
      port: config.healthzPort,
      checks: { livez: checks, readyz: {} },
      signal,
      log: context.log,
    });
    waits.push(health.closed);
  }
  const aborted = Promise.withResolvers<void>();
  if (signal.aborted) aborted.resolve();
  else signal.addEventListener("abort", () => aborted.resolve(), { once: true });
  await Promise.all([...waits, aborted.promise]);
}
