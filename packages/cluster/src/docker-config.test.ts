import assert from "node:assert/strict";
import { test } from "node:test";
import { engineContainerdSocket, renderDockerConfig } from "./docker-config.ts";
import { clusterPaths } from "./paths.ts";

const paths = clusterPaths("/var/lib/knarr").node("node-1");

test("renderDockerConfig() keeps the engine to the node's folder and off bridges and rules", () => {
  const config = JSON.parse(renderDockerConfig({ paths, restricted: false }));
  assert.deepEqual(config.hosts, ["unix:///var/lib/knarr/nodes/node-1/docker.sock"]);
  for (const key of ["data-root", "exec-root"]) assert.ok(config[key].startsWith(`${paths.dir}/`), key);
  assert.deepEqual([config.bridge, config.iptables, config["ip-forward"]], ["none", false, false]);
  assert.equal(config["live-restore"], true);
  assert.equal(config.runtimes, undefined);
});

test("renderDockerConfig() runs containers through the wrapper when this machine lacks a capability", () => {
  const config = JSON.parse(renderDockerConfig({ paths, restricted: true }));
  assert.deepEqual(config.runtimes[config["default-runtime"]], { path: paths.runcWrapper });
  assert.equal(config["oom-score-adjust"], 0);
});

test("engineContainerdSocket() fits into a socket's address where clusters usually lie", () => {
  const longest = clusterPaths("/var/lib/a-cluster-with-a-long-name").node("node-100");
  // Source: unix(7): sun_path holds 108 bytes, its end included
  assert.ok(engineContainerdSocket(longest).length < 108);
});
