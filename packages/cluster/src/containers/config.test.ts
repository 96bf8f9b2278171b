import assert from "node:assert/strict";
import { test } from "node:test";
import { containerCluster, nodeNameFrom, withFlags } from "./config.ts";

test("nodeNameFrom() reads the number that compose gave the container", () => {
  const cases: [string[], string | undefined][] = [
    [["knarr-node-1.knarr_default"], "node-1"],
    [["knarr_node_12.knarr_default"], "node-12"],
    [["project-with-node-in-it-node-3"], "node-3"],
    [["3f2a9c", "knarr-node-4"], "node-4"],
    [["3f2a9c"], undefined],
    [["knarr-nodes-4"], undefined],
    [[], undefined],
  ];
  for (const [names, expected] of cases) assert.equal(nodeNameFrom(names), expected, names.join());
});

test("withFlags() replaces a flag's value and adds what was not there", () => {
  const spec = {
    name: "etcd",
    command: ["etcd", "--a=1", "--ab=2"],
    health: { kind: "socket", path: "" },
    stopTimeoutMs: 1,
  } as const;
  assert.deepEqual(withFlags(spec, { a: "3", c: "4" }).command, ["etcd", "--ab=2", "--a=3", "--c=4"]);
});

test("containerCluster() has no nodes of its own and the container's address", () => {
  const config = containerCluster("172.20.0.3");
  assert.deepEqual([config.nodes, config.hostIp, config.ports.apiserver], [[], "172.20.0.3", 6443]);
});
