/** `docker compose --profile docker up`: a node that is the engine itself, beside one with containerd. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cgroupHierarchies, mountsBelow } from "@knarr/cluster/node-files.ts";
import { eventually, projectRoot, run } from "../e2e/lib/run.ts";
import { type Engine, startEngine } from "./engine.ts";

const NODE_PORT = 30_090;
const PATIENCE_MS = 180_000;
const REPLICAS = 2;
const UP = ["--profile", "docker", "up", "-d", "--no-build", "--scale", "node=1"];

let engine: Engine;
/** The folder of the node's volume, and what its containers bear as their owner's. */
let volume = "";
let owner = "";

before(
  async () => {
    engine = await startEngine({ apiPort: 16_444, nodePorts: `${NODE_PORT}-${NODE_PORT + 3}`, runsPods: true });
    volume = join(engine.folder, "data/volumes/knarr_docker-node/_data");
    owner = join(volume, "nodes/docker-node/kubelet/docker");
  },
  { timeout: 900_000 },
);
after(
  async () => {
    await engine?.stop();
  },
  { timeout: 300_000 },
);

const knarr = (args: readonly string[], input = "") =>
  run(process.execPath, ["packages/cli/src/main.ts", "--kubeconfig", engine.kubeconfig, ...args], {
    cwd: projectRoot,
    input,
  });

const logs = async () =>
  `${(await knarr(["get", "nodes,pods", "-A", "-o", "wide", "--request-timeout=5s"])).stdout}\n` +
  (await engine.compose(["--profile", "docker", "logs", "--tail=15", "--no-color"])).slice(-8000);

async function nodesReady(): Promise<void> {
  await eventually(
    "docker-node and node-1 are Ready",
    PATIENCE_MS,
    async () => {
      const { stdout } = await knarr(["get", "nodes", "--no-headers", "--request-timeout=5s"]);
      return /^docker-node +Ready /m.test(stdout) && /^node-1 +Ready /m.test(stdout) ? true : undefined;
    },
    logs,
  );
}

/** Containers of the node's pods, by id; with `all`, also those that do not run. */
async function podContainers(...all: "--all"[]): Promise<string[]> {
  const listed = await engine.docker(
    "ps",
    "-q",
    "--no-trunc",
    ...all,
    "--filter",
    `label=dev.knarr.cri.owner=${owner}`,
  );
  return listed.split("\n").filter((line) => line !== "");
}

const deployment = (name: string, node: string, replicas: number) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        nodeSelector: { "kubernetes.io/hostname": node },
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: "web",
            image: "knarr.local/web:1",
            command: ["/bin/sh", "-c", 'echo "begins on $(hostname)"; exec /bin/web'],
            readinessProbe: { httpGet: { path: "/readyz", port: 8080 }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
});

const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "pinned" },
  spec: {
    type: "NodePort",
    selector: { app: "pinned" },
    ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
  },
};

/** From the host, by the Service's name from a pod of either node, and through the kubelet. */
async function podsWork(): Promise<void> {
  await eventually(
    "the pods on docker-node answer on localhost",
    PATIENCE_MS,
    async () => {
      const signal = AbortSignal.timeout(5000);
      const answer = await fetch(`http://127.0.0.1:${NODE_PORT}/`, { signal }).catch(() => undefined); // not yet
      return answer?.ok === true && /^pinned-\w+-\w+ version/.test(await answer.text()) ? true : undefined;
    },
    logs,
  );
  const url = "http://pinned.default.svc.cluster.local/";
  for (const from of ["pinned", "asker"]) {
    await eventually(
      `a pod of ${from} finds the Service by its name`,
      PATIENCE_MS,
      async () => {
        const { stdout } = await knarr(["exec", `deployment/${from}`, "--", "wget", "-q", "-O", "-", url]);
        return /^pinned-/.test(stdout) ? true : undefined;
      },
      logs,
    );
  }
  // The token's volume is mounted by the kubelet in its container, and bound by the engine on its machine.
  const file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
  const read = await knarr(["exec", "deployment/pinned", "--", "cat", file]);
  assert.deepEqual([read.code, read.stdout.trim()], [0, "default"], read.stderr);
  await eventually(
    "the log of a pod on docker-node begins with its first line",
    PATIENCE_MS,
    async () => {
      const { stdout } = await knarr(["logs", "deployment/pinned", "--request-timeout=10s"]);
      return /^begins on pinned-/.test(stdout) ? true : undefined;
    },
    logs,
  );
}

test("without the profile there is neither the node nor its volume", async () => {
  assert.doesNotMatch(await engine.compose(["config", "--services"]), /docker-node/);
  assert.doesNotMatch(await engine.compose(["config", "--volumes"]), /docker-node/);
});

test("the profile adds a node that runs its pods on the engine, and they answer, log and take commands", async () => {
  await engine.compose(UP);
  await nodesReady();
  const version = "-o=jsonpath={.status.nodeInfo.containerRuntimeVersion}";
  assert.match((await knarr(["get", "node", "docker-node", version])).stdout, /^docker:\/\/\d/);
  const items = [deployment("pinned", "docker-node", REPLICAS), deployment("asker", "node-1", 1), service];
  const applied = await knarr(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  assert.equal(applied.code, 0, applied.stderr);
  await podsWork();
  // A sandbox and a container each.
  assert.equal((await podContainers()).length, 2 * REPLICAS);
});

/** What another kubelet, or anybody, may have made with the same labels. */
async function startStrangers(): Promise<string[]> {
  const ids: string[] = [];
  for (const labels of [["dev.knarr.cri=container"], ["dev.knarr.cri=sandbox", "dev.knarr.cri.owner=/elsewhere"]]) {
    const flags = labels.flatMap((label) => ["--label", label]);
    const command = ["--entrypoint", "sleep", "knarr", "1000000"];
    ids.push((await engine.docker("run", "-d", "--network", "none", ...flags, ...command)).trim());
  }
  return ids;
}

async function areRunning(ids: readonly string[]): Promise<boolean> {
  const states = await engine.docker("inspect", "--format", "{{.State.Running}}", ...ids);
  return states
    .trim()
    .split("\n")
    .every((state) => state === "true");
}

for (const [name, cause] of [
  ["a restart of its container", () => engine.compose(["--profile", "docker", "restart", "docker-node"])],
  ["a crash of its container", () => crash()],
  ["a restart of the engine", () => engine.restart()],
] as const) {
  test(`the node comes back with new containers for its pods after ${name}`, async () => {
    const earlier = new Set(await podContainers());
    assert.ok(earlier.size >= 2 * REPLICAS, `${earlier.size} containers`);
    await cause();
    await eventually(
      "the pods have new containers, and none of those before is left",
      PATIENCE_MS,
      async () => {
        const now = await podContainers("--all").catch(() => []); // the engine is starting
        return now.length >= 2 * REPLICAS && now.every((id) => !earlier.has(id)) ? true : undefined;
      },
      logs,
    );
    await nodesReady();
    await podsWork();
  });
}

/** Not by the engine's own command, which is taken for the user's will. */
async function crash(): Promise<void> {
  const pid = (await engine.docker("inspect", "--format", "{{.State.Pid}}", "knarr-docker-node")).trim();
  process.kill(Number(pid), "SIGKILL");
}

test("down leaves nothing of the node but its volume, and nobody else's container is touched", async () => {
  const strangers = await startStrangers();
  await engine.compose(["--profile", "docker", "down"]);
  assert.deepEqual(await podContainers("--all"), []);
  assert.deepEqual(await mountsBelow(volume), []);
  for (const hierarchy of await cgroupHierarchies()) {
    assert.ok(!existsSync(join(hierarchy, "knarr/docker-node")), hierarchy);
  }
  assert.ok(existsSync(volume));
  assert.ok(await areRunning(strangers));
  // What was there goes on, with all that lay on the volumes.
  await engine.compose(UP);
  await nodesReady();
  await podsWork();
  assert.ok(await areRunning(strangers));
  await engine.docker("rm", "-f", ...strangers);
  // The profile forgotten: the node outlives the API server, and has its end by the command that names it.
  await engine.compose(["down"]);
  assert.ok((await podContainers()).length > 0);
  await engine.compose(["--profile", "docker", "down", "-v"]);
  assert.ok(!existsSync(volume));
  assert.equal(await engine.docker("volume", "ls", "-q", "--filter", "name=knarr_"), "");
  assert.equal(await engine.docker("ps", "-q", "--all", "--filter", "label=dev.knarr.cri"), "");
});
