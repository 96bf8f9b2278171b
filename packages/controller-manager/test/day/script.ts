/** The day's manifests, and what may happen to them and to those who look after them. */
import { apps, batch } from "@knarr/api/generated/resources.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { DayCluster } from "./cluster.ts";

export const DEPLOYMENTS = ["web", "api", "worker"];
const STATEFUL = "db";
const DAEMON = "agent";
export const MAX_REPLICAS = 6;
const image = (tag: number) => `registry.example/app:${tag}`;
/** Pods of lost nodes are replaced after two seconds instead of five minutes. */
const tolerations = ["not-ready", "unreachable"].map((name) => ({
  key: `node.kubernetes.io/${name}`,
  operator: "Exists",
  effect: "NoExecute",
  tolerationSeconds: 2,
}));

function template(app: string, tag: number, extra: object = {}) {
  const containers = [{ name: "c", image: image(tag) }];
  return { metadata: { labels: { app } }, spec: { containers, tolerations, ...extra } };
}

export async function applyManifests(client: Client, namespace: string): Promise<void> {
  for (const name of DEPLOYMENTS) {
    const spec = { replicas: 3, selector: { matchLabels: { app: name } }, template: template(name, 1) };
    await client.create(apps.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { namespace, name },
      spec,
    });
  }
  const own = (name: string) => ({ selector: { matchLabels: { app: name } }, template: template(name, 1) });
  await client.create(apps.statefulsets, {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { namespace, name: STATEFUL },
    spec: { replicas: 2, serviceName: STATEFUL, ...own(STATEFUL) },
  });
  await client.create(apps.daemonsets, {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { namespace, name: DAEMON },
    spec: own(DAEMON),
  });
}

export type Random = (below: number) => number;

/** The same numbers for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export interface Deed {
  readonly name: string;
  /** How often it is drawn, compared with the others. */
  readonly weight: number;
  readonly act: () => Promise<void>;
}

export function deedsOf(cluster: DayCluster, namespace: string, random: Random): readonly Deed[] {
  const { client } = cluster.harness;
  const { link, nodes, managers } = cluster;
  const key = (name: string) => ({ namespace, name });
  const anyOf = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  let tag = 1;
  let jobs = 0;
  const merge = (body: object) => ({ type: "strategic" as const, body });
  const newImage = () => merge({ spec: { template: { spec: { containers: [{ name: "c", image: image(++tag) }] } } } });
  const killAndReplace = async (which: (name: string) => boolean) => {
    const victim = managers.find(({ name }) => which(name));
    if (victim === undefined) return;
    managers.splice(managers.indexOf(victim), 1);
    await victim.daemon.kill();
    await cluster.startManager();
  };
  const leaderName = async () => (await cluster.leader())?.name ?? "";
  return [
    {
      name: "rollout",
      weight: 4,
      act: async () => void (await client.patch(apps.deployments, key(anyOf(DEPLOYMENTS)), newImage())),
    },
    {
      name: "scale",
      weight: 4,
      act: async () => {
        const body = { spec: { replicas: random(MAX_REPLICAS + 1) } };
        await client.patch(apps.deployments, key(anyOf(DEPLOYMENTS)), merge(body));
      },
    },
    {
      name: "update the StatefulSet",
      weight: 1,
      act: async () => void (await client.patch(apps.statefulsets, key(STATEFUL), newImage())),
    },
    {
      name: "scale the StatefulSet",
      weight: 1,
      act: async () =>
        void (await client.patch(apps.statefulsets, key(STATEFUL), merge({ spec: { replicas: random(4) } }))),
    },
    {
      name: "run a Job",
      weight: 3,
      act: async () => {
        const name = `job-${++jobs}`;
        const spec = {
          completions: 1 + random(4),
          parallelism: 2,
          template: template(name, 1, { restartPolicy: "Never" }),
        };
        await client.create(batch.jobs, { apiVersion: "batch/v1", kind: "Job", metadata: key(name), spec });
      },
    },
    { name: "lose a node", weight: 2, act: async () => anyOf([...nodes.values()]).silence() },
    {
      name: "all nodes are back",
      weight: 2,
      act: async () => {
        for (const node of nodes.values()) node.revive();
      },
    },
    {
      name: "kill the leader",
      weight: 2,
      act: async () => {
        const leader = await leaderName();
        await killAndReplace((name) => name === leader);
      },
    },
    {
      name: "kill a follower",
      weight: 1,
      act: async () => {
        const leader = await leaderName();
        await killAndReplace((name) => name !== leader);
      },
    },
    { name: "cut connections", weight: 2, act: async () => void link.cut() },
    { name: "freeze connections", weight: 1, act: async () => link.freeze() },
    { name: "half close", weight: 1, act: async () => link.halfClose() },
    { name: "slow link", weight: 2, act: async () => link.delay(50 + random(200)) },
    { name: "fast link", weight: 2, act: async () => link.delay(0) },
    {
      name: "no new connections for a while",
      weight: 1,
      act: async () => {
        link.refuse(true);
        await systemClock.sleep(500);
        link.refuse(false);
      },
    },
  ];
}

/** Touches workloads all the time, so that whoever writes them gets conflicts; ends with the signal. */
export async function storm(client: Client, namespace: string, random: Random, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const ref = random(2) === 0 ? apps.replicasets : apps.deployments;
      const { items } = await client.list<{ metadata: { name?: string } }>(ref as never, { namespace });
      const victim = items[random(Math.max(1, items.length))];
      if (victim !== undefined) {
        const body = { metadata: { annotations: { "example.com/storm": String(random(1_000_000)) } } };
        await client.patch(ref as never, { namespace, name: victim.metadata.name ?? "" }, { type: "merge", body });
      }
    } catch (error) {
      // Deleted meanwhile.
      if (!(error instanceof StatusError)) throw error;
    }
    await systemClock.sleep(20 + random(60), signal).catch(() => {});
  }
}
