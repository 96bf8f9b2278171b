import assert from "node:assert/strict";
import { test } from "node:test";
import { planNode } from "../components.ts";
import { NO_TOOLS } from "../tools.ts";
import { onHostEngine, planDockerNode } from "./docker-node.ts";

const ENV = {
  KNARR_NODE_NAME: "docker-node",
  KNARR_DOCKER_SOCKET: "/run/docker.sock",
  KNARR_DOCKER_VOLUME: "/srv/docker/volumes/knarr_docker-node/_data",
};
const ENGINE = { dataRoot: "/srv/docker", cgroupDriver: "cgroupfs" } as const;

test("planDockerNode() keeps what the engine must find where the engine finds it, and secrets on the cluster's volume", () => {
  const { files, paths } = planDockerNode(ENV, "172.20.0.9", ENGINE);
  const dir = "/srv/docker/volumes/knarr_docker-node/_data/nodes/docker-node";
  assert.equal(files.kubeletRoot, `${dir}/kubelet`);
  assert.equal(files.volumes, `${dir}/volumes`);
  assert.equal(files.dockerSocket, "/run/docker.sock");
  assert.equal(paths.kubeconfigOf("kubelet@docker-node"), "/var/lib/knarr/kubeconfigs/kubelet@docker-node.conf");
});

test("planDockerNode() names the variable that is missing, and the engine's data root when it is another", () => {
  for (const name of Object.keys(ENV)) {
    assert.throws(() => planDockerNode({ ...ENV, [name]: "" }, "172.20.0.9", ENGINE), new RegExp(`${name} is not set`));
  }
  const elsewhere = { ...ENGINE, dataRoot: "/srv/docker/100000.100000" };
  assert.throws(() => planDockerNode(ENV, "172.20.0.9", elsewhere), /KNARR_DOCKER_ROOT=\/srv\/docker\/100000\.100000 /);
});

/** Runs through the whole plan, as its parts are chosen from there. */
function kubeletOn(cgroupDriver: "cgroupfs" | "systemd"): readonly string[] {
  const { config, node, paths, engine } = planDockerNode(ENV, "172.20.0.9", { ...ENGINE, cgroupDriver });
  const enter = (_: unknown, command: readonly string[]) => command;
  const plan = planNode({ config, paths, tools: NO_TOOLS, node: "node", projectRoot: "/knarr", enter }, node);
  assert.match(plan[0]?.name ?? "", /^docker@/);
  const kubelet = plan.find(({ name }) => name === "kubelet@docker-node");
  assert.ok(kubelet !== undefined);
  return onHostEngine(kubelet, engine).command;
}

test("onHostEngine() has no disk threshold, at which a kubelet removes images that are not the cluster's", () => {
  const command = kubeletOn("cgroupfs");
  assert.ok(command.includes("--container-runtime-endpoint=docker:///run/docker.sock"));
  assert.deepEqual(
    command.filter((word) => /^--(eviction-hard|image-gc-high-threshold|cgroup)/.test(word)),
    [
      "--cgroup-root=/knarr/docker-node",
      "--cgroup-driver=cgroupfs",
      "--image-gc-high-threshold=100",
      "--eviction-hard=memory.available<100Mi",
    ],
  );
});

test("onHostEngine() keeps no cgroups of its own where systemd would have to make them", () => {
  const command = kubeletOn("systemd");
  assert.ok(command.includes("--cgroups-per-qos=false") && command.includes("--enforce-node-allocatable=none"));
});
