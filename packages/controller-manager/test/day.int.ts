/**
 * A day in a minute: rollouts, scale-ups, Jobs and lost nodes, while managers are killed at random, their link to the API
 * server fails in every way, and their writes meet conflicts. At its end the cluster is what the manifests say.
 *
 * The script follows a seed, printed and to be given again as DAY_SEED; DAY_DEEDS makes the day longer. Where the processes
 * are when a deed is done is not repeatable.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { Informer } from "@knarr/client/informer.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { checkEnd } from "./day/checks.ts";
import { someoneLeads, startDayCluster } from "./day/cluster.ts";
import { applyManifests, DEPLOYMENTS, deedsOf, MAX_REPLICAS, randomFrom, storm } from "./day/script.ts";
import { eventually, makeNamespace } from "./harness.ts";

const SEED = Number(process.env.DAY_SEED ?? 20_261_121);
const DEEDS = Number(process.env.DAY_DEEDS ?? 40);
/** A rollout adds a quarter at most. */
const MOST_PODS = MAX_REPLICAS + Math.ceil(MAX_REPLICAS / 4);

test(`a day of trouble ends as the manifests say, seed ${SEED}`, async (t) => {
  const cluster = await startDayCluster();
  const stopping = new AbortController();
  const running: Promise<void>[] = [];
  t.after(async () => {
    stopping.abort();
    await Promise.allSettled(running);
    await cluster.stop();
  });
  const { client } = cluster.harness;
  await cluster.startManager();
  await someoneLeads(cluster);
  await cluster.startManager();
  const namespace = await makeNamespace(client, "day");
  const random = randomFrom(SEED);
  const excess = watchExcess(new Informer<Pod>(client, core.pods, { namespace }), stopping.signal);
  running.push(excess.running, storm(client, namespace, randomFrom(SEED + 1), stopping.signal));
  await applyManifests(client, namespace);
  const deeds = deedsOf(cluster, namespace, random);
  const lots = deeds.flatMap((deed) => Array.from({ length: deed.weight }, () => deed));
  for (let i = 0; i < DEEDS; i++) {
    const deed = lots[random(lots.length)];
    t.diagnostic(`${i}: ${deed?.name}`);
    await deed?.act();
    await systemClock.sleep(200 + random(600));
  }
  cluster.link.delay(0);
  for (const node of cluster.nodes.values()) node.revive();
  while (cluster.managers.length < 2) await cluster.startManager();
  await someoneLeads(cluster);
  await eventually(
    "everything is as the manifests say",
    async () => {
      await checkEnd(client, namespace, cluster.nodes.size);
      return true;
    },
    150_000,
  );
  assert.deepEqual(excess.found, [], "more pods than a rollout may have");
  const writers = await cluster.writers();
  t.diagnostic(`leaders: ${writers.join(" ")}`);
  assert.equal(new Set(writers).size, writers.length, `two acted in turns: ${writers.join(" ")}`);
});

/** Notes every time when a Deployment has more running pods than its largest size and surge allow. */
function watchExcess(pods: Informer<Pod>, signal: AbortSignal): { found: string[]; running: Promise<void> } {
  const found: string[] = [];
  const look = () => {
    for (const name of DEPLOYMENTS) {
      const active = pods.list().filter(({ metadata, status }) => {
        const ended = status?.phase === "Succeeded" || status?.phase === "Failed";
        return metadata.labels?.app === name && metadata.deletionTimestamp === undefined && !ended;
      });
      if (active.length > MOST_PODS) found.push(`${name}: ${active.length}`);
    }
  };
  pods.subscribe({ added: look });
  return { found, running: pods.run(signal) };
}
