import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterNameOf, linkName, planCluster, rangesOverlap, withNodeCount } from "./cluster-config.ts";

const plan = (index: number, nodeCount: number) =>
  planCluster({ name: "knarr", dataDir: "/var/lib/knarr", index, nodeCount });

test("planCluster() gives the first cluster upstream's ports and each node a namespace, a link and an address", () => {
  const config = plan(0, 2);
  assert.equal(config.ports.apiserver, 6443);
  assert.equal(config.ports.etcdClient, 2379);
  assert.deepEqual(config.nodes, [
    { name: "node-1", ip: "172.30.0.11", netns: "knarr-node-1", link: "knarrn1" },
    { name: "node-2", ip: "172.30.0.12", netns: "knarr-node-2", link: "knarrn2" },
  ]);
});

test("planCluster() shares no port and no range between places when clusters stand side by side", () => {
  const configs = Array.from({ length: 10 }, (_, index) => plan(index, 1));
  const ports = configs.flatMap((config) => Object.values(config.ports));
  assert.equal(new Set(ports).size, ports.length);
  for (const [i, a] of configs.entries()) {
    for (const b of configs.slice(i + 1)) {
      assert.ok(!rangesOverlap(a.nodeSubnet, b.nodeSubnet));
      assert.ok(!rangesOverlap(a.podCidr, b.podCidr));
    }
  }
});

test("withNodeCount() leaves the nodes that are there in their places when it grows a cluster", () => {
  const grown = withNodeCount(plan(3, 2), 4);
  assert.deepEqual(grown.nodes.slice(0, 2), plan(3, 2).nodes);
  assert.equal(grown.nodes[3]?.ip, "172.30.3.14");
});

for (const { dataDir, want } of [
  { dataDir: "/var/lib/knarr", want: /^knarr$/ },
  { dataDir: "/var/lib/knarr-e2e", want: /^knarr-e2e$/ },
  { dataDir: "/home/ann/knarr", want: /^knarr-[a-z0-9]{4}$/ },
  { dataDir: "/var/lib/Knarr", want: /^knarr-[a-z0-9]{4}$/ },
  { dataDir: "/srv/my cluster_1", want: /^my-cluster-1-[a-z0-9]{4}$/ },
  { dataDir: "/", want: /^knarr-[a-z0-9]{4}$/ },
  { dataDir: `/var/lib/${"x".repeat(100)}`, want: /^x{36}[a-z0-9]{4}$/ },
]) {
  test(`clusterNameOf() names ${dataDir.slice(0, 40)} so that links and chains can bear it`, () => {
    assert.match(clusterNameOf(dataDir), want);
  });
}

test("clusterNameOf() tells folders of the same name apart", () => {
  assert.notEqual(clusterNameOf("/home/ann/knarr"), clusterNameOf("/home/bob/knarr"));
});

for (const { name, suffix, want } of [
  { name: "knarr", suffix: "n12", want: /^knarrn12$/ },
  { name: "knarr-e2e-two", suffix: "n1", want: /^knarr-e2e-twon1$/ },
  { name: "knarr-e2e-three", suffix: "n1", want: /^knarr-e2e[a-z0-9]{4}n1$/ },
]) {
  test(`linkName() keeps to the kernel's 15 characters when the name is ${name}`, () => {
    const link = linkName(name, suffix);
    assert.match(link, want);
    assert.ok(link.length <= 15);
  });
}

for (const { a, b, want } of [
  { a: "172.30.0.0/24", b: "172.30.0.11", want: true },
  { a: "172.30.0.0/24", b: "172.30.1.0/24", want: false },
  { a: "10.0.0.0/8", b: "10.244.0.0/16", want: true },
  { a: "0.0.0.0/0", b: "192.0.2.1", want: true },
  { a: "10.244.3.7/16", b: "10.244.255.255", want: true },
  { a: "10.245.0.0", b: "10.244.0.0/16", want: false },
]) {
  test(`rangesOverlap() is ${want} when asked for ${a} and ${b}`, () => {
    assert.equal(rangesOverlap(a, b), want);
    assert.equal(rangesOverlap(b, a), want);
  });
}
