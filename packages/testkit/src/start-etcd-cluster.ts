/** A real etcd of several members for tests: killed, frozen and restarted one by one. As start-etcd.ts, without fsync. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChildDaemon, freePort } from "./child-daemon.ts";
import { findEtcd } from "./start-etcd.ts";

export interface EtcdMember {
  readonly endpoint: string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same data and ports. */
  restart(): Promise<void>;
  signal(name: "SIGSTOP" | "SIGCONT"): void;
}

export interface TestEtcdCluster {
  readonly members: readonly EtcdMember[];
  /** The member that leads now; undefined while none says so. */
  leader(): Promise<EtcdMember | undefined>;
  /** Ends all members and removes their data. */
  stop(): Promise<void>;
}

export async function startEtcdCluster(options: {
  readonly members: number;
  readonly args?: readonly string[];
}): Promise<TestEtcdCluster> {
  const command = await findEtcd();
  const dataDir = await mkdtemp(join(tmpdir(), "knarr-etcd-cluster-"));
  const plans: { name: string; client: string; peer: string; metrics: string }[] = [];
  for (let index = 0; index < options.members; index++) {
    const url = async () => `http://127.0.0.1:${await freePort()}`;
    plans.push({ name: `m${index}`, client: await url(), peer: await url(), metrics: await url() });
  }
  const cluster = plans.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const members = await Promise.all(
    plans.map(async ({ name, client, peer, metrics }) => {
      const start = () =>
        ChildDaemon.start({
          command,
          args: [
            ...[`--name=${name}`, `--data-dir=${dataDir}/${name}`, `--initial-cluster=${cluster}`],
            ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
            ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
            ...[`--listen-metrics-urls=${metrics}`, "--unsafe-no-fsync", "--log-level=warn"],
            // Tests wait for elections: as short as a busy machine bears.
            ...["--heartbeat-interval=100", "--election-timeout=1000"],
            ...(options.args ?? []),
          ],
          ready: async () => (await read(`${metrics}/health`)).includes('"health":"true"'),
        });
      let daemon = await start();
      return {
        endpoint: client,
        metrics,
        kill: () => daemon.kill(),
        restart: async () => {
          await daemon.kill();
          daemon = await start();
        },
        signal: (signal: "SIGSTOP" | "SIGCONT") => daemon.signal(signal),
      };
    }),
  );
  return {
    members,
    leader: async () => {
      for (const member of members) {
        if (/^etcd_server_is_leader 1$/m.test(await read(`${member.metrics}/metrics`))) return member;
      }
      return undefined;
    },
    stop: async () => {
      for (const member of members) member.signal("SIGCONT");
      await Promise.all(members.map((member) => member.kill()));
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** The body; "" when nobody answers. */
async function read(url: string): Promise<string> {
  try {
    return await (await fetch(url, { signal: AbortSignal.timeout(1_000) })).text();
  } catch {
    // Down or frozen: what the caller wants to know.
    return "";
  }
}
