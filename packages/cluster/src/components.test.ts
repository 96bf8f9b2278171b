import assert from "node:assert/strict";
import { test } from "node:test";
import { planCluster } from "./cluster-config.ts";
import { type ComponentOptions, planControlPlane, planNode } from "./components.ts";
import { portsOf } from "./conflicts.ts";
import { nodeDaemons } from "./node-power.ts";
import { clusterPaths } from "./paths.ts";

const config = planCluster({ name: "knarr", dataDir: "/var/lib/knarr", index: 0, nodeCount: 2 });
const options: ComponentOptions = {
  config,
  paths: clusterPaths(config.dataDir),
  tools: {
    etcd: "/bin/etcd",
    containerd: "/bin/containerd",
    ctr: "/bin/ctr",
    runc: "/bin/runc",
    cniBinDir: "/cni",
    dockerd: "/bin/dockerd",
  },
  node: "/bin/node",
  projectRoot: "/knarr",
};

test("planControlPlane() starts etcd, then the API server, then those that need it", () => {
  assert.deepEqual(
    planControlPlane(options).map((spec) => spec.name),
    ["etcd", "apiserver", "controller-manager", "scheduler", "cluster-dns"],
  );
});

test("planNode() starts the runtime first and every process in the node's network and under its host name", () => {
  const [node] = config.nodes;
  assert.ok(node);
  const specs = planNode(options, node);
  assert.deepEqual(
    specs.map((spec) => spec.name),
    ["containerd@node-1", "pod-network@node-1", "local-path@node-1", "kubelet@node-1", "kube-proxy@node-1"],
  );
  for (const { command } of specs) {
    assert.deepEqual(command.slice(0, 4), ["nsenter", "--net=/run/netns/knarr-node-1", "unshare", "--uts"]);
    assert.ok(command.includes("node-1"));
  }
});

test("planNode() runs a Docker Engine of the node's own and tells the kubelet of it when the cluster's runtime is docker", () => {
  const docker = planCluster({ name: "knarr", dataDir: "/var/lib/knarr", index: 0, nodeCount: 1, runtime: "docker" });
  const [node] = docker.nodes;
  assert.ok(node);
  const specs = planNode({ ...options, config: docker }, node);
  assert.equal(specs[0]?.name, "docker@node-1");
  assert.deepEqual(new Set(specs.map((spec) => spec.name)), new Set(nodeDaemons("node-1", "docker")));
  const files = options.paths.node(node.name);
  assert.deepEqual(specs[0]?.command.slice(-4), ["/bin/dockerd", "--config-file", files.dockerConfig, "--pidfile="]);
  const kubelet = specs.find(({ name }) => name === "kubelet@node-1")?.command ?? [];
  assert.ok(kubelet.includes(`--container-runtime-endpoint=docker://${files.dockerSocket}`));
  assert.ok(kubelet.includes(`--cni-conf-dir=${files.cniConfDir}`));
  assert.ok(!kubelet.some((word) => word.includes("containerd.sock")));
});

test("planControlPlane() gives each daemon an identity of its own and none the authority's key but the one that signs", () => {
  const specs = planControlPlane(options);
  const kubeconfigs = specs.flatMap(({ command }) => command.filter((word) => word.startsWith("--kubeconfig=")));
  assert.equal(new Set(kubeconfigs).size, 3);
  const holders = specs.filter(({ command }) => command.some((word) => word.endsWith("/pki/ca.key")));
  assert.deepEqual(
    holders.map((spec) => spec.name),
    ["controller-manager"],
  );
});

test("portsOf() lists every port of the configuration when conflicts are looked for", () => {
  const listed = [...portsOf(config).values()].flat().sort((a, b) => a - b);
  assert.deepEqual(
    listed,
    Object.values(config.ports).sort((a, b) => a - b),
  );
});

test("components ask for health on addresses that they were told to listen on", () => {
  for (const { name, command, health } of planControlPlane(options)) {
    if (health.kind === "socket" || health.kind === "unix") continue;
    const { port } = new URL(health.url);
    assert.ok(
      command.some((word) => word.includes(`:${port}`) || word.endsWith(`=${port}`)),
      `${name} is asked on ${health.url}`,
    );
  }
});
