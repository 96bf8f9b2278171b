/** up twice, down twice, up after everything was killed: a second cluster beside the first, so that nothing else is disturbed. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { knarr, tryKnarr } from "./lib/cluster.ts";
import { must, run } from "./lib/run.ts";

const dataDir = "/var/lib/knarr-e2e-two";
const at = (...args: string[]) => knarr([...args, "--data-dir", dataDir], { timeoutMs: 300_000 });

interface Status {
  readonly components: readonly { readonly name: string; readonly pid: number }[];
}
const status = async () => JSON.parse(await at("status", "-o", "json")) as Status;

after(async () => {
  await at("down", "--purge");
});

test("up makes a cluster beside another one, and up again changes nothing that runs", async () => {
  assert.match(await at("up", "--nodes", "1"), /Cluster "knarr-e2e-two" with 1 node\(s\) is up/);
  const pids = (await status()).components.map((c) => c.pid);
  await at("up");
  assert.deepEqual(
    (await status()).components.map((c) => c.pid),
    pids,
  );
});

test("a node joins the running cluster and leaves it again; images and logs are at hand", async () => {
  const kubeconfig = ["--kubeconfig", `${dataDir}/kubeconfig`];
  assert.match(await at("node", "add"), /node\/node-2 added/);
  assert.match(await knarr([...kubeconfig, "get", "nodes"]), /node-1 +Ready.*node-2 +Ready/s);
  const archive = (await must("find", [`${dataDir}/images`, "-name", "*.tar"])).trim();
  assert.match(await at("image", "load", archive), /in node-\d \(1\/2\).*in node-\d \(2\/2\)/s);
  assert.match(await at("logs", "component/kubelet@node-2", "--tail=1"), /"name":"kubelet"/);
  assert.match(await at("node", "remove", "node-2"), /node\/node-2 drained\nnode\/node-2 removed/);
  assert.doesNotMatch(await knarr([...kubeconfig, "get", "nodes"]), /node-2/);
  assert.deepEqual(
    (await status()).components.filter((c) => c.name.endsWith("@node-2")),
    [],
  );
  assert.equal((await run("test", ["-e", `${dataDir}/nodes/node-2`])).code, 1);
  assert.match((await tryKnarr(["node", "remove", "node-1", "--data-dir", dataDir])).stderr, /is the last node/);
});

test("up after kill -9 of everything, the supervisor too, brings all back with the data", async () => {
  const kubeconfig = ["--kubeconfig", `${dataDir}/kubeconfig`];
  await knarr([...kubeconfig, "create", "-f", "-"], {
    input: "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: default}}",
  });
  const pids = (await status()).components.map((c) => c.pid);
  const supervisor = JSON.parse(await must("cat", [`${dataDir}/run/supervisor.json`])) as { pid: number };
  for (const pid of [supervisor.pid, ...pids]) process.kill(pid, "SIGKILL");
  await at("up");
  assert.match(await knarr([...kubeconfig, "get", "configmap", "kept"]), /kept/);
  assert.match(await knarr([...kubeconfig, "get", "nodes"]), /node-1 +Ready/);
});

test("down removes rules, mounts, namespaces, links and cgroups; down again and purge are fine", async () => {
  await at("down");
  const traces = async () => ({
    netns: (await must("ip", ["netns", "list"])).includes("knarr-e2e-two"),
    links: (await must("ip", ["-o", "link"])).includes("knarr-e2e-two"),
    mounts: (await must("cat", ["/proc/self/mounts"])).includes(dataDir),
    rules: (await must("iptables-save", [])).includes("KNARR-E2E-TWO"),
    processes: (await run("pgrep", ["-f", dataDir])).code === 0,
    cgroups: (await must("find", ["/sys/fs/cgroup", "-maxdepth", "3", "-name", "knarr-e2e-two"])) !== "",
  });
  const none = { netns: false, links: false, mounts: false, rules: false, processes: false, cgroups: false };
  assert.deepEqual(await traces(), none);
  await at("down");
  const missing = await tryKnarr(["status", "--data-dir", dataDir]);
  assert.equal(missing.code, 1);
});

test("up after down finds the data, as after a reboot", async () => {
  await at("up");
  assert.match(await knarr(["--kubeconfig", `${dataDir}/kubeconfig`, "get", "configmap", "kept"]), /kept/);
});
