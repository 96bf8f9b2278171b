/** It does not break: whatever is killed, frozen or taken away, no pod is bound twice and none is forgotten. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isConflict } from "@knarr/apimachinery/status-error.ts";
import { Informer } from "@knarr/client/informer.ts";
import { freePort } from "@knarr/testkit/child-daemon.ts";
import { createNode, eventually, type Harness, pausePod, simulatedNode, startHarness } from "./harness.ts";

const QUICK_LEASE = [
  "--leader-elect-lease-duration=8s",
  "--leader-elect-renew-deadline=6s",
  "--leader-elect-retry-period=500ms",
];
let harness: Harness;
let watched: Informer<Pod>;
const stop = new AbortController();
/** Pod uid to every node that the API ever showed for it. */
const nodesOf = new Map<string, Set<string>>();

before(async () => {
  harness = await startHarness();
  watched = new Informer(harness.admin, core.pods);
  const see = (pod: Pod) => {
    const node = pod.spec?.nodeName ?? "";
    if (node === "") return;
    const uid = pod.metadata.uid ?? "";
    nodesOf.set(uid, (nodesOf.get(uid) ?? new Set()).add(node));
  };
  watched.subscribe({ added: see, updated: (_old, pod) => see(pod), deleted: see });
  watched.run(stop.signal).catch(() => undefined); // ends with the signal
  await watched.waitForSync(stop.signal);
  for (let i = 0; i < 10; i++) await createNode(harness.admin, simulatedNode(`n${i}`));
});
after(async () => {
  stop.abort();
  await harness[Symbol.asyncDispose]();
});

const podsNamed = (prefix: string) =>
  watched.list().filter(({ metadata }) => metadata.name?.startsWith(prefix) === true);
const boundOf = (prefix: string) => podsNamed(prefix).filter(({ spec }) => (spec?.nodeName ?? "") !== "");

async function createPods(prefix: string, count: number, cpu = "10m"): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  // So many at once: hundreds together can keep a busy machine's etcd longer than the API server waits for it.
  for (let from = 0; from < count; from += 40) {
    const some = names.slice(from, from + 40);
    await Promise.all(some.map((name) => harness.admin.create(core.pods, pausePod(name, {}, cpu))));
  }
}
const allBound = (prefix: string, count: number) =>
  eventually(`${count} pods ${prefix} to be bound`, async () => (boundOf(prefix).length >= count ? true : undefined));
const someBound = (prefix: string) =>
  eventually(`a pod ${prefix} to be bound`, async () => (boundOf(prefix).length > 0 ? true : undefined));

/** What must hold at any time. */
function assertSane(): void {
  for (const [uid, nodes] of nodesOf) assert.equal(nodes.size, 1, `pod ${uid} was on ${[...nodes].join(" and ")}`);
  const used = new Map<string, number>();
  for (const { spec } of watched.list()) {
    if (spec?.nodeName === undefined) continue;
    const millis = Number((spec.containers[0]?.resources?.requests?.cpu ?? "0").replace("m", ""));
    used.set(spec.nodeName, (used.get(spec.nodeName) ?? 0) + millis);
  }
  for (const [node, millis] of used) assert.ok(millis <= 4000, `${node} is overcommitted: ${millis}m`);
}

async function removePods(prefix: string): Promise<void> {
  const gone = { gracePeriodSeconds: 0 };
  for (const { metadata } of podsNamed(prefix)) {
    await harness.admin.delete(core.pods, { namespace: "default", name: metadata.name ?? "" }, gone);
  }
  await eventually(`pods ${prefix} to be gone`, async () => (podsNamed(prefix).length === 0 ? true : undefined));
}

test("no pod is lost or bound twice when the scheduler is killed between deciding and binding", async () => {
  for (let round = 0; round < 3; round++) {
    const scheduler = await harness.startScheduler({ args: ["--leader-elect=false"] });
    await createPods(`killed-${round}`, 60);
    await someBound(`killed-${round}`);
    await scheduler.kill("SIGKILL");
  }
  const last = await harness.startScheduler({ args: ["--leader-elect=false"] });
  await allBound("killed-", 180);
  assertSane();
  await last.kill("SIGTERM");
  await removePods("killed-");
});

test("two schedulers hand over, also when the leader is frozen and wakes up late", async () => {
  const a = await harness.startScheduler({ args: QUICK_LEASE });
  await createPods("early", 20);
  await allBound("early", 20);
  const b = await harness.startScheduler({ args: QUICK_LEASE });
  await createPods("frozen", 80, "100m");
  await someBound("frozen");
  a.process.kill("SIGSTOP");
  await allBound("frozen", 80);
  await createPods("later", 80, "100m");
  await someBound("later");
  a.process.kill("SIGCONT");
  await allBound("later", 80);
  assertSane();
  await a.kill("SIGKILL");
  await createPods("after", 20);
  await allBound("after", 20);
  assertSane();
  await b.kill("SIGTERM");
  for (const prefix of ["early", "frozen", "later", "after"]) await removePods(prefix);
});

test("a pod that somebody else binds first stays where it is, and the others get their places", async () => {
  const scheduler = await harness.startScheduler({ args: ["--leader-elect=false"] });
  const bindThere = async (name: string) => {
    const body = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { namespace: "default", name },
      target: { kind: "Node", name: "n9" },
    };
    await harness.admin.createSubresource(core.pods, { namespace: "default", name }, "binding", body).catch((error) => {
      // The scheduler was faster.
      if (!isConflict(error)) throw error;
    });
  };
  await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      await harness.admin.create(core.pods, pausePod(`fought-${i}`, {}, "10m"));
      if (i % 2 === 0) await bindThere(`fought-${i}`);
    }),
  );
  await allBound("fought", 60);
  assertSane();
  await scheduler.kill("SIGTERM");
  await removePods("fought");
});

test("pods find other nodes when nodes vanish while they are being placed", async () => {
  const scheduler = await harness.startScheduler({ args: ["--leader-elect=false"] });
  const creating = createPods("moving", 80);
  for (const name of ["n0", "n1", "n2", "n3", "n4"]) {
    await harness.admin.delete(core.nodes, { namespace: "", name });
  }
  await creating;
  await allBound("moving", 80);
  for (let i = 5; i < 10; i++) await harness.admin.delete(core.nodes, { namespace: "", name: `n${i}` });
  await createPods("waiting", 10);
  await eventually("the pods to be told that there are no nodes", async () => {
    const told = podsNamed("waiting").filter(({ status }) =>
      status?.conditions?.some(({ message }) => message === "no nodes available to schedule pods"),
    );
    return told.length === 10 ? true : undefined;
  });
  await createNode(harness.admin, simulatedNode("n10"));
  await allBound("waiting", 10);
  assertSane();
  await scheduler.kill("SIGTERM");
  await removePods("moving");
});

test("a pod that fits is bound though hundreds that don't wake up at every change", async () => {
  const scheduler = await harness.startScheduler({ args: ["--leader-elect=false"] });
  await createPods("huge", 500, "100");
  await eventually("all huge pods to be refused", async () => {
    const refused = podsNamed("huge").filter(({ status }) =>
      status?.conditions?.some(({ reason }) => reason === "Unschedulable"),
    );
    return refused.length === 500 ? true : undefined;
  });
  for (let i = 0; i < 5; i++) {
    await createPods(`fits-${i}`, 1);
    await allBound(`fits-${i}`, 1);
    await removePods(`fits-${i}`);
  }
  assertSane();
  await scheduler.kill("SIGTERM");
});

// The last one: it leaves no API server.
test("a leader that can't renew its lease ends, its HTTPS port too, so that it can be started anew", async () => {
  const leader = await harness.startScheduler({ args: QUICK_LEASE, securePort: await freePort() });
  await createPods("led", 1);
  await allBound("led", 1);
  const exited = once(leader.process, "exit");
  await harness.api.kill();
  assert.notEqual((await exited)[0], 0, leader.output());
  assert.match(leader.output(), /leader election lost/);
});
