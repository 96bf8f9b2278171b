/** The kubelet's servers: health on its own port, everything else on 10250 (server.ts). */
import { serveHealth } from "@knarr/daemon/health-server.ts";
import { startServer } from "./server.ts";
import { healthProblem, type Serving } from "./serving.ts";

export async function runServers(serving: Serving, signal: AbortSignal): Promise<void> {
  const { config, context } = serving;
  // Health is told last: who sees it may use the rest.
  const waits: Promise<void>[] = [(await startServer(serving, signal)).closed];
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
  await Promise.all(waits);
}
