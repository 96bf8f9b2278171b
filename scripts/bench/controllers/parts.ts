/** The parts of the controllers' benchmark; each answers its figures beside its yardstick. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { apps, core } from "../../../packages/api/src/generated/resources.ts";
import type { Deployment } from "../../../packages/api/src/generated/types/apps-v1.ts";
import type { Pod } from "../../../packages/api/src/generated/types/core-v1.ts";
import type { KubeObject } from "../../../packages/apimachinery/src/object.ts";
import type { ResourceRef } from "../../../packages/apimachinery/src/resource.ts";
import { isNotFound } from "../../../packages/apimachinery/src/status-error.ts";
import type { Client } from "../../../packages/client/src/client.ts";
import { Informer } from "../../../packages/client/src/informer.ts";
import { listAll } from "../../../packages/client/src/list-all.ts";
import { watchCores } from "../processor-time.ts";
import type { ControllersBench } from "./environment.ts";
import { rateOf } from "./raw-load.ts";

export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly yardstick: string;
}

const DEADLINE_MS = 300_000;

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<number> {
  const startedMs = performance.now();
  while (!(await check())) {
    if (performance.now() - startedMs > DEADLINE_MS) throw new Error(`${what}: not within ${DEADLINE_MS / 1000} s`);
    await sleep(20);
  }
  return performance.now() - startedMs;
}

/** A cache of a namespace's objects for as long as `use` runs. */
async function following<T extends KubeObject, R>(
  client: Client,
  ref: ResourceRef<T>,
  namespace: string,
  use: (informer: Informer<T>) => Promise<R>,
): Promise<R> {
  const stop = new AbortController();
  const informer = new Informer<T>(client, ref, { namespace });
  const running = informer.run(stop.signal);
  try {
    await informer.waitForSync(stop.signal);
    return await use(informer);
  } finally {
    stop.abort();
    await running;
  }
}

async function makeNamespace(client: Client, name: string): Promise<string> {
  await client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  await until("the namespace's account", () =>
    client.get(core.serviceaccounts, { namespace: name, name: "default" }).then(
      () => true,
      (error: unknown) => {
        if (isNotFound(error)) return false;
        throw error;
      },
    ),
  );
  return name;
}

const podSpec = () => ({ containers: [{ name: "c", image: "registry.example/app:1" }] });
function deployment(namespace: string, name: string, replicas: number): Deployment {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace, name },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec() } },
  };
}

const perSecond = (rate: number) => `${rate.toFixed(0)}/s`;
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const share = (part: number, whole: number) => `${((part / whole) * 100).toFixed(0)} %`;

/** Nobody binds the pods: what is measured is how fast they are made. */
export async function createDeployment({ client }: ControllersBench, replicas: number): Promise<Figure[]> {
  const raw = await makeNamespace(client, "raw-pods");
  const labels = { app: "raw" };
  const rawRate = await rateOf(replicas, (i) =>
    client.create(core.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: raw, name: `raw-${i}`, labels },
      spec: podSpec(),
    }),
  );
  const rawDeletes = await rateOf(replicas, (i) =>
    client.delete(core.pods, { namespace: raw, name: `raw-${i}` }, { gracePeriodSeconds: 0 }),
  );
  const namespace = await makeNamespace(client, "deployment");
  return following(client, core.pods, namespace, async (pods) => {
    await client.create(apps.deployments, deployment(namespace, "big", replicas));
    const madeMs = await until("all pods", () => pods.list().length >= replicas);
    const key = { namespace, name: "big" };
    await client.patch(apps.deployments, key, { type: "merge", body: { spec: { replicas: 0 } } });
    const goneMs = await until("no pod", () => pods.list().length === 0);
    const made = (replicas / madeMs) * 1000;
    const gone = (replicas / goneMs) * 1000;
    return [
      {
        name: `Deployment of ${replicas}: pods made`,
        value: `${seconds(madeMs)}, ${perSecond(made)}`,
        yardstick: `${perSecond(rawRate)} by a bare client: ${share(made, rawRate)}`,
      },
      {
        name: "scaled to 0: pods deleted",
        value: `${seconds(goneMs)}, ${perSecond(gone)}`,
        yardstick: `${perSecond(rawDeletes)} by a bare client: ${share(gone, rawDeletes)}`,
      },
    ];
  });
}

export async function deleteNamespace({ client }: ControllersBench, objects: number): Promise<Figure[]> {
  const namespace = await makeNamespace(client, "many");
  const data = { text: "x".repeat(200) };
  const make = (at: string) => (i: number) =>
    client.create(core.configmaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: at, name: `c-${i}` },
      data,
    });
  await rateOf(objects, make(namespace));
  const raw = await makeNamespace(client, "raw-many");
  const sample = Math.min(objects, 2000);
  await rateOf(sample, make(raw));
  const rawRate = await rateOf(sample, (i) => client.delete(core.configmaps, { namespace: raw, name: `c-${i}` }));
  await client.delete(core.namespaces, { namespace: "", name: namespace });
  const goneMs = await until("no namespace", () =>
    client.get(core.namespaces, { namespace: "", name: namespace }).then(() => false, isNotFound),
  );
  const rate = (objects / goneMs) * 1000;
  return [
    {
      name: `namespace of ${objects} objects deleted`,
      value: `${seconds(goneMs)}, ${perSecond(rate)}`,
      yardstick: `${perSecond(rawRate)} single deletes by a bare client: ${share(rate, rawRate)}`,
    },
  ];
}

/** Successful requests that changed something so far, by the audit log. */
async function countWrites(dir: string): Promise<number> {
  const lines = (await readFile(join(dir, "audit.log"), "utf8")).split("\n");
  return lines.filter(
    (line) => line.includes('"stage":"ResponseComplete"') && /"verb":"(create|update|patch|delete)"/.test(line),
  ).length;
}

/** All Deployments get a new image at once; their pods are bound and run by the played nodes. */
export async function rollout({ client, api }: ControllersBench, count: number): Promise<Figure[]> {
  const namespace = await makeNamespace(client, "rollout");
  const raw = await makeNamespace(client, "raw-rollout");
  const rawRate = await rateOf(1000, (i) =>
    client.create(core.configmaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: raw, name: `c-${i}` },
    }),
  );
  return following(client, apps.deployments, namespace, async (deployments) => {
    const isDone = ({ metadata, spec, status }: Deployment) =>
      status?.observedGeneration === metadata.generation &&
      status?.updatedReplicas === spec?.replicas &&
      status?.availableReplicas === spec?.replicas &&
      status?.replicas === spec?.replicas;
    const all = () => deployments.list().length === count && deployments.list().every(isDone);
    const startMs = performance.now();
    await rateOf(count, (i) => client.create(apps.deployments, deployment(namespace, `d-${i}`, 3)));
    await until("all Deployments", all);
    const upMs = performance.now() - startMs;
    const body = { spec: { template: { spec: { containers: [{ name: "c", image: "registry.example/app:2" }] } } } };
    const before = await countWrites(api.dir);
    const rollMs = performance.now();
    await rateOf(count, (i) =>
      client.patch(apps.deployments, { namespace, name: `d-${i}` }, { type: "strategic", body }),
    );
    await until("all rolled out", all);
    const took = performance.now() - rollMs;
    const pods = count * 3;
    const writes = (await countWrites(api.dir)) - before;
    const rate = (writes / took) * 1000;
    return [
      {
        name: `${count} Deployments of 3 made and available`,
        value: `${seconds(upMs)}, ${perSecond((pods / upMs) * 1000)} pods`,
        yardstick: "",
      },
      {
        name: `${count} Deployments of 3 rolled out at once`,
        value: `${seconds(took)}, ${perSecond((pods / took) * 1000)} pods replaced`,
        yardstick: `${writes} writes of controllers and nodes, ${perSecond(rate)}; a bare client's small creates: ${perSecond(rawRate)}, ${share(rate, rawRate)}`,
      },
    ];
  });
}

/** From the moment in which the node is called Unknown to the last of its pods being called unready. */
export async function loseNode({ client, nodes }: ControllersBench, pods: number): Promise<Figure[]> {
  const namespace = await makeNamespace(client, "loss");
  const victim = "node-0";
  nodes.only = victim;
  return following(client, core.pods, namespace, async (cache) => {
    await client.create(apps.deployments, deployment(namespace, "victims", pods));
    const isReady = ({ status }: Pod) => status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
    await until("all run", () => cache.list().filter(isReady).length === pods);
    nodes.only = undefined;
    nodes.silence(victim);
    let decidedMs = 0;
    return following(client, core.nodes, "", async (all) => {
      await until("the node is Unknown", () => {
        const node = all.get({ namespace: "", name: victim });
        return node?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "Unknown";
      });
      decidedMs = performance.now();
      await until("all marked", () => !cache.list().some((pod) => pod.spec?.nodeName === victim && isReady(pod)));
      return [
        {
          name: `node of ${pods} pods lost: all marked after the decision`,
          value: `${(performance.now() - decidedMs).toFixed(0)} ms`,
          yardstick: "target 1000 ms",
        },
      ];
    });
  });
}

/** Nothing happens but heartbeats. */
export async function idle({ client, manager }: ControllersBench, ms: number): Promise<Figure[]> {
  const { items: nodes } = await listAll(client, core.nodes);
  const { items: pods } = await listAll(client, core.pods);
  const stop = await watchCores(new Map([["manager", manager.pid]]));
  await sleep(ms);
  const cores = (await stop()).of.get("manager") ?? 0;
  const status = await readFile(`/proc/${manager.pid}/status`, "utf8");
  const bytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  return [
    {
      name: `idle with ${nodes.length} nodes and ${pods.length} pods: processor`,
      value: `${(cores * 100).toFixed(2)} % of a core over ${ms / 1000} s`,
      yardstick: "target 1 %",
    },
    { name: "resident memory", value: `${(bytes / 1e6).toFixed(0)} MB`, yardstick: "target 150 MB" },
  ];
}

/** From the SIGKILL of the leader to the first thing that the other manager does, with the default times of the Lease. */
export async function handover(bench: ControllersBench): Promise<Figure[]> {
  const { client, manager } = bench;
  // Only those that take turns may do the work.
  await manager.stop();
  const first = await bench.startElected();
  await makeNamespace(client, "first-leader");
  await bench.startElected();
  await sleep(3000);
  await first.kill();
  const killedMs = performance.now();
  await makeNamespace(client, "second-leader");
  return [
    {
      name: "the leader killed: until the other has done something",
      value: seconds(performance.now() - killedMs),
      yardstick: "target 20 s; the Lease lasts for 15 s, is looked at every 2 to 4.4 s",
    },
  ];
}
