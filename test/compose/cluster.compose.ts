/**
 * `docker compose up` on a real engine: the README's first example answers on localhost, and goes on to whatever happens
 * to the containers. KNARR_COMPOSE_ROUNDS (1) says how often every container is killed.
 */
import assert from "node:assert/strict";
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

test("every container may be killed, with no manual step after it", async () => {
  for (let round = 1; round <= ROUNDS; round++) {
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
    await nodesReady(2);
    await exampleAnswers();
    await everythingWorks();
  }
});

test("single services can be restarted, and nodes added", async () => {
  await engine.compose(["restart", "apiserver", "cluster-dns"]);
  await engine.compose(["up", "-d", "--no-build", "--scale", "node=3"]);
  await nodesReady(3);
  await exampleAnswers();
  await engine.compose(["up", "-d", "--no-build", "--scale", "node=2"]);
  await knarr("delete", "node", "node-3");
});

test("down and up keep the cluster's objects and addresses need not be the same", async () => {
  await engine.compose(["down", "-t", "10"]);
  await engine.compose(["up", "-d", "--no-build"]);
  await nodesReady(2);
  await exampleAnswers();
  await everythingWorks();
});

test("the cluster comes back with the engine", async () => {
  await engine.restart();
  await nodesReady(2);
  await exampleAnswers();
  await everythingWorks();
});
