/** Puts local-path together and runs it. */
import { statfs } from "node:fs/promises";
import { core, storage } from "@knarr/api/generated/resources.ts";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import { Client } from "@knarr/client/client.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import { inClusterConfig } from "@knarr/client/in-cluster-config.ts";
import { Informer } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { serveHealth } from "@knarr/daemon/health-server.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import { runGroup, type Task } from "@knarr/daemon/run-group.ts";
import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { findQuota } from "./adapters/quota.ts";
import { runCommand } from "./adapters/run-command.ts";
import { VolumeFolders } from "./adapters/volume-folders.ts";
import { Agent } from "./agent.ts";
import type { Config } from "./config.ts";

export async function run(config: Config, { clock, log, signal }: DaemonContext): Promise<void> {
  const rest = config.kubeconfig === "" ? inClusterConfig() : loadKubeconfig({ path: config.kubeconfig });
  const client = new Client(rest, { userAgent: "knarr-local-path/v1.36.0" });
  const events = new EventRecorder({ client, component: config.provisioner, host: config.nodeName, clock, log });
  const claims = new Informer(client, core.persistentvolumeclaims, { clock, log });
  const volumes = new Informer(client, core.persistentvolumes, { clock, log });
  const classes = new Informer(client, storage.storageclasses, { clock, log });
  const fieldSelector = `metadata.name=${config.nodeName}`;
  const node = new Informer(client, core.nodes, { fieldSelector, clock, log });
  const folders = new VolumeFolders(config.storageDir);
  await folders.prepare();
  const support = await findQuota(runCommand, config.storageDir);
  const quota = "quota" in support ? support.quota : undefined;
  const quotaMissing = "missing" in support ? support.missing : "";
  if (quota === undefined) log.info({ why: quotaMissing }, "capacities are not enforced");
  const parts = { client, events, clock, log, config, folders, quota, quotaMissing };
  const agent = new Agent({ ...parts, claims, volumes, classes, node });
  const synced = () => (claims.synced && volumes.synced && classes.synced ? undefined : "not synced yet");
  const tasks: Record<string, Task> = {};
  if (config.healthz !== undefined) {
    const at = config.healthz;
    const registry = metrics(agent, config, quota !== undefined);
    tasks.healthz = async (s) => {
      const server = await serveHealth({ ...at, checks: { livez: {}, readyz: { synced } }, registry, signal: s, log });
      await server.closed;
    };
  }
  tasks.claims = (s) => claims.run(s);
  tasks.volumes = (s) => volumes.run(s);
  tasks.classes = (s) => classes.run(s);
  tasks.node = (s) => node.run(s);
  tasks.agent = (s) => agent.run(s);
  await runGroup(signal, tasks);
  await events.flush();
  client.close();
}

function metrics(agent: Agent, { storageDir }: Config, enforced: boolean): Registry {
  const registry = new Registry();
  const gauge = (name: string, help: string, value: () => number | Promise<number>) =>
    new Gauge({
      name: `knarr_local_path_${name}`,
      help,
      registers: [registry],
      async collect() {
        this.set(await value());
      },
    });
  gauge("volumes", "Volumes of this node", () => agent.usage().volumes);
  gauge("promised_bytes", "Capacities of this node's volumes together", () =>
    agent.usage().capacities.reduce((sum, capacity) => sum + quantityValue(capacity), 0),
  );
  gauge("available_bytes", "Free space where the volumes lie", async () => {
    const { bavail, bsize } = await statfs(storageDir);
    return bavail * bsize;
  });
  gauge("capacity_enforced", "1 where the filesystem holds volumes to their capacities", () => (enforced ? 1 : 0));
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 200 });
  return registry;
}
