/**
 * What the controllers' benchmark runs on: a real etcd, a real API server and a real controller manager as child
 * processes, and nodes without containers that the benchmark plays: it binds pods, says that they run, and lets them go.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Client } from "../../../packages/client/src/client.ts";
import { ChildDaemon, freePort } from "../../../packages/testkit/src/child-daemon.ts";
import { startApiserver, type TestApiserver } from "../../../packages/testkit/src/start-apiserver.ts";
import { startEtcd } from "../../../packages/testkit/src/start-etcd.ts";
import { PlayedNodes } from "./played-nodes.ts";

const MANAGER = fileURLToPath(new URL("../../../packages/controller-manager/src/main.ts", import.meta.url));

export interface ControllersBench {
  readonly client: Client;
  readonly api: TestApiserver;
  readonly manager: ChildDaemon;
  readonly nodes: PlayedNodes;
  /** One more manager, with leader election as by default; ends with the bench. */
  startElected(): Promise<ChildDaemon>;
  stop(): Promise<void>;
}

export async function startControllersBench(): Promise<ControllersBench> {
  const etcd = await startEtcd();
  const api = await startApiserver({ etcd });
  const client = new Client(api.admin);
  const identity = await api.user("system:kube-controller-manager");
  // As a cluster's supervisor starts it, from the second start on: with compiled modules kept in a folder.
  const cache = await mkdtemp(join(tmpdir(), "knarr-bench-compiled-"));
  const env = { ...process.env, NODE_COMPILE_CACHE: cache };
  await promisify(execFile)(process.execPath, [MANAGER, "--help"], { env });
  const startManager = async (args: readonly string[]) =>
    ChildDaemon.start({
      command: process.execPath,
      args: [
        MANAGER,
        `--kubeconfig=${identity.kubeconfig}`,
        "--use-service-account-credentials=true",
        "--bind-address=127.0.0.1",
        `--secure-port=${await freePort()}`,
        `--root-ca-file=${api.pki.path("ca.crt")}`,
        `--service-account-private-key-file=${api.pki.path("sa.key")}`,
        ...args,
      ],
      env,
      ready: async () => true,
    });
  const manager = await startManager([
    "--leader-elect=false",
    // How long a silent node is waited for is not what is measured.
    "--node-monitor-grace-period=12s",
  ]);
  const elected: ChildDaemon[] = [];
  const nodes = new PlayedNodes(client);
  return {
    client,
    api,
    manager,
    nodes,
    startElected: async () => {
      const another = await startManager([]);
      elected.push(another);
      return another;
    },
    stop: async () => {
      await nodes.stop();
      for (const each of [manager, ...elected]) await each.stop();
      client.close();
      await api.stop();
      await etcd.stop();
      await rm(cache, { recursive: true, force: true });
    },
  };
}
