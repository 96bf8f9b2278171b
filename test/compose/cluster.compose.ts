/**
 * `docker compose up` on a real engine: the README's first example answers on localhost, and goes on to whatever happens
 * to the containers. KNARR_COMPOSE_ROUNDS (1) says how often all of it happens.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually, must, projectRoot, run } from "../e2e/lib/run.ts";
import { type Engine, startEngine } from "./engine.ts";

const API_PORT = 16_443;
const NODE_PORT = 30_080;
const ROUNDS = Number(process.env.KNARR_COMPOSE_ROUNDS ?? 1);
/** Containers, engine and machine are slow on a busy machine; each wait names what it waits for. */
const PATIENCE_MS = 180_000;
const SERVICES = ["etcd", "apiserver", "controller-manager", "scheduler", "cluster-dns", "node"];

let engine: Engine;

before(
  async () => {
    engine = await startEngine({ apiPort: API_PORT, nodePorts: `${NODE_PORT}-${NODE_PORT + 3}` });
  },
  { timeout: 900_000 },
);
after(
  async () => {
    await engine?.stop();
  },
  { timeout: 300_000 },
);

const knarr = (...args: string[]) =>
  run(process.execPath, ["packages/cli/src/main.ts", "--kubeconfig", engine.kubeconfig, ...args], { cwd: projectRoot });

async function nodesReady(count: number): Promise<void> {
  await eventually(
    `${count} nodes are Ready`,
    PATIENCE_MS,
    async () => {
      const { stdout } = await knarr("get", "nodes", "--no-headers", "--request-timeout=5s");
      return [...stdout.matchAll(/^node-\d+ +Ready /gm)].length === count ? true : undefined;
    },
    async () => `${(await knarr("get", "nodes", "--request-timeout=5s")).stdout}\n${await logs()}`,
  );
}

const logs = () => engine.compose(["logs", "--tail=8", "--no-color"]).then((text) => text.slice(-6000));

/** The example's Service from the host: through the published port, the proxy beside the API server, a node, a pod. */
async function exampleAnswers(): Promise<void> {
  await eventually(
    "the example answers on localhost",
    PATIENCE_MS,
    async () => {
      const signal = AbortSignal.timeout(5000);
      const answer = await fetch(`http://127.0.0.1:${NODE_PORT}/`, { signal }).catch(() => undefined); // not yet
      return answer?.ok === true && /^web-\w+-\w+ version/.test(await answer.text()) ? true : undefined;
    },
    async () =>
      `${(await knarr("get", "pods", "-n", "web", "-o", "wide", "--request-timeout=5s")).stdout}\n${await logs()}`,
  );
}

/** Controllers act, the scheduler places, kubelets run, DNS answers. */
async function everythingWorks(): Promise<void> {
  await eventually(
    "a new Deployment's pods are ready, and find a Service by name",
    PATIENCE_MS,
    async () => {
      const name = `probe-${Date.now()}`;
      const made = await knarr(
        "create",
        "deployment",
        name,
        "--image=knarr.local/web:1",
        "--replicas=2",
        "--request-timeout=5s",
      );
      if (made.code !== 0) return undefined;
      const rolled = await knarr("rollout", "status", `deployment/${name}`, "--timeout=60s");
      const url = "http://web.web.svc.cluster.local/";
      const asked = await knarr("exec", `deployment/${name}`, "--", "wget", "-q", "-O", "-", url);
      await knarr("delete", "deployment", name, "--request-timeout=20s");
      return rolled.code === 0 && /version/.test(asked.stdout) ? true : undefined;
    },
    logs,
  );
}

test("up brings a cluster of two nodes, and the first example answers on localhost", async () => {
  await engine.compose(["up", "-d", "--no-build"]);
  await nodesReady(2);
  const applied = await knarr("apply", "-f", "examples/web.yaml");
  assert.equal(applied.code, 0, applied.stderr);
  await exampleAnswers();
  await everythingWorks();
});

/** Nodes, controllers, scheduler, DNS and the way in from the host. */
async function clusterWorks(): Promise<void> {
  await nodesReady(2);
  await exampleAnswers();
  await everythingWorks();
}

async function killEveryContainer(): Promise<void> {
  for (const service of SERVICES) {
    const [id = ""] = (await engine.compose(["ps", "-q", service])).trim().split("\n");
    // A kill by the engine's own command is taken for the user's will and not undone; a crash is.
    const pid = (await engine.docker("inspect", "--format", "{{.State.Pid}}", id)).trim();
    await must("kill", ["-9", pid]);
    await eventually(`the container of ${service} runs again`, PATIENCE_MS, async () => {
      const state = await engine.docker("inspect", "--format", "{{.State.Running}} {{.State.Pid}}", id);
      return state.startsWith("true") && state.trim() !== `true ${pid}` ? true : undefined;
    });
  }
}

/** What must not need a hand afterwards; each of them in every round. */
const TROUBLES: readonly (readonly [name: string, cause: () => Promise<unknown>])[] = [
  ["a kill of every container", killEveryContainer],
  ["a restart of every service", () => engine.compose(["restart", "-t", "10", ...SERVICES])],
  [
    "down and up",
    async () => {
      await engine.compose(["down", "-t", "10"]);
      await engine.compose(["up", "-d", "--no-build"]);
    },
  ],
  ["a restart of the engine", () => engine.restart()],
  ["a crash of the engine", () => engine.crash()],
];

for (let round = 1; round <= ROUNDS; round++) {
  for (const [name, cause] of TROUBLES) {
    test(`the cluster comes back after ${name}, with no manual step (round ${round} of ${ROUNDS})`, async (t) => {
      const startedMs = performance.now();
      await cause();
      const causedMs = performance.now();
      await clusterWorks();
      const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(1);
      t.diagnostic(
        `${seconds(startedMs, causedMs)} s for it, all well ${seconds(causedMs, performance.now())} s later`,
      );
    });
  }
}

test("up again changes nothing that runs", async () => {
  const running = async () => (await engine.compose(["ps", "-q"])).trim().split("\n").sort();
  const before = await running();
  await engine.compose(["up", "-d", "--no-build"]);
  await engine.compose(["up", "-d", "--no-build"]);
  assert.deepEqual(await running(), before);
  await clusterWorks();
});

test("up finishes what an interrupted down left", async () => {
  await engine.compose(["down", "-t", "10"], { timeoutMs: 3000 }).catch(() => {}); // killed: that is what is tried here
  // The engine goes on with what compose has asked it for, and starts nothing that it is about to remove.
  await eventually("up is not refused for a removal under way any more", PATIENCE_MS, () =>
    engine.compose(["up", "-d", "--no-build"]).catch((error: Error) => {
      if (!/marked for removal|removal of container .* in progress|No such container/.test(error.message)) throw error;
      return undefined;
    }),
  );
  await clusterWorks();
  await engine.docker("rm", "-f", "knarr-etcd-1", "knarr-node-2");
  await engine.compose(["stop", "-t", "10", "apiserver"]);
  await engine.compose(["up", "-d", "--no-build"]);
  await clusterWorks();
});

test("nodes are added, and what ran on those that left goes elsewhere when their objects are deleted", async () => {
  await engine.compose(["up", "-d", "--no-build", "--scale", "node=4"]);
  await nodesReady(4);
  const scaled = await knarr("scale", "deployment", "web", "-n", "web", "--replicas=8");
  assert.equal(scaled.code, 0, scaled.stderr);
  await rolledOut();
  await engine.compose(["up", "-d", "--no-build", "--scale", "node=2"]);
  await nodesReady(2);
  const left = await knarr("delete", "node", "node-3", "node-4");
  assert.equal(left.code, 0, left.stderr);
  await eventually("no pod is on a node that left", PATIENCE_MS, async () => {
    const { stdout } = await knarr("get", "pods", "-n", "web", "-o", "wide", "--no-headers");
    return stdout !== "" && !/node-[34]/.test(stdout) ? true : undefined;
  });
  await rolledOut();
  await clusterWorks();
  // One that comes back joins under its old name.
  await engine.compose(["up", "-d", "--no-build", "--scale", "node=3"]);
  await nodesReady(3);
  await engine.compose(["up", "-d", "--no-build", "--scale", "node=2"]);
  assert.equal((await knarr("delete", "node", "node-3")).code, 0);
});

async function rolledOut(): Promise<void> {
  const rolled = await knarr("rollout", "status", "deployment/web", "-n", "web", "--timeout=180s");
  assert.equal(rolled.code, 0, rolled.stderr);
}

test("a published port that is taken is named, and up works when it is free again", async () => {
  await engine.compose(["down", "-t", "10"]);
  const other = createServer().listen(API_PORT, "127.0.0.1");
  await once(other, "listening");
  await assert.rejects(engine.compose(["up", "-d", "--no-build"]), /16443.*(already|in use)/);
  other.close();
  await once(other, "close");
  await engine.compose(["up", "-d", "--no-build"]);
  await clusterWorks();
});

test("a kubeconfig that can't be written is said by setup, and up works when that is mended", async () => {
  await engine.compose(["down", "-t", "10"]);
  await rm(engine.kubeconfig);
  await mkdir(join(engine.kubeconfig, "in-the-way"), { recursive: true });
  await assert.rejects(engine.compose(["up", "-d", "--no-build"]), /setup.*exit 1/);
  assert.match(
    await engine.compose(["logs", "--no-color", "setup"]),
    /kubeconfig can't be written to the folder \.knarr/,
  );
  await rm(engine.kubeconfig, { recursive: true });
  await engine.compose(["up", "-d", "--no-build"]);
  await clusterWorks();
});

test("an older cluster's data goes on under a newer image, and a new cluster replaces the old one's kubeconfig", async () => {
  const before = await readFile(engine.kubeconfig, "utf8");
  // What an engine does with containers of an image that was built anew.
  await engine.compose(["up", "-d", "--no-build", "--force-recreate", "-t", "10"]);
  await clusterWorks();
  assert.equal(await readFile(engine.kubeconfig, "utf8"), before);
  await engine.compose(["down", "-v", "-t", "10"]);
  await engine.compose(["up", "-d", "--no-build"]);
  await nodesReady(2);
  assert.notEqual(await readFile(engine.kubeconfig, "utf8"), before);
  assert.equal((await knarr("get", "namespace", "web")).code, 1);
});
