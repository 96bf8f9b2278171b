import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { tracePacket } from "@knarr/netfilter/trace-packet.ts";
import { type Link, type NetworkOptions, type NetworkPlan, planNetwork } from "./plan-network.ts";

const options: NetworkOptions = {
  clusterPrefixes: ["10.244.0.0/16"],
  bridge: "cni0",
  mtu: 0,
  masquerade: true,
  tunnel: "auto",
  ipamDir: "",
  bandwidth: false,
};
const links: readonly Link[] = [
  { name: "eth1", mtu: 9000, addresses: ["192.168.7.1/24"] },
  { name: "eth0", mtu: 1400, addresses: ["172.30.0.11/24", "fe80::1/64"] },
];

function node(name: string, ip: string | undefined, ...podCIDRs: string[]): Node {
  const addresses = ip === undefined ? [] : [{ type: "InternalIP", address: ip }];
  return {
    metadata: { name },
    spec: podCIDRs.length === 0 ? {} : { podCIDR: podCIDRs[0], podCIDRs },
    status: { addresses: [{ type: "Hostname", address: name }, ...addresses] },
  };
}

const own = node("node-1", "172.30.0.11", "10.244.0.0/24");

function plan(peers: readonly Node[], change: Partial<NetworkOptions> = {}): NetworkPlan {
  const result = planNetwork(own, [own, ...peers], links, { ...options, ...change });
  assert.ok(!("notYet" in result));
  return result;
}

for (const [what, given] of [
  ["the Node is missing", undefined],
  ["it has no range", node("node-1", "172.30.0.11")],
] as const) {
  test(`planNetwork() waits while ${what}`, () => {
    assert.ok("notYet" in planNetwork(given, [], links, options));
  });
}

test("planNetwork() reaches a peer on a link of ours directly", () => {
  const { routes, tunnel, mtu } = plan([node("node-2", "172.30.0.12", "10.244.1.0/24")]);
  assert.deepEqual(routes, [{ prefix: "10.244.1.0/24", via: "172.30.0.12" }]);
  assert.equal(tunnel, undefined);
  assert.equal(mtu, 1400);
});

test("planNetwork() reaches a peer elsewhere through the tunnel, and makes room for its headers", () => {
  const { routes, tunnel, mtu } = plan([node("node-2", "172.31.0.12", "10.244.1.0/24")]);
  assert.deepEqual(routes, [{ prefix: "10.244.1.0/24", via: "10.244.1.0", device: "knarr-vxlan" }]);
  assert.deepEqual(tunnel, {
    hardwareAddress: "02:4b:ac:1e:00:0b",
    localIp: "172.30.0.11",
    innerAddresses: ["10.244.0.0"],
    mtu: 1350,
    peers: [{ hardwareAddress: "02:4b:ac:1f:00:0c", innerAddress: "10.244.1.0", nodeIp: "172.31.0.12" }],
  });
  assert.equal(mtu, 1350);
});

test("planNetwork() tunnels nothing with tunnel never, and everything with always", () => {
  const far = node("node-2", "172.31.0.12", "10.244.1.0/24");
  const near = node("node-3", "172.30.0.13", "10.244.2.0/24");
  assert.equal(plan([far, near], { tunnel: "never" }).tunnel, undefined);
  assert.equal(plan([far, near], { tunnel: "always" }).tunnel?.peers.length, 2);
});

test("planNetwork() has no route to a peer without address or range", () => {
  assert.deepEqual(plan([node("node-2", undefined, "10.244.1.0/24"), node("node-3", "172.30.0.13")]).routes, []);
});

test("planNetwork() writes a conflist with the node's ranges, MTU and host ports", () => {
  const { conflist } = plan([], { ipamDir: "/var/lib/x" });
  assert.deepEqual(conflist, {
    cniVersion: "1.0.0",
    name: "knarr",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        hairpinMode: true,
        ipMasq: false,
        mtu: 1400,
        ipam: {
          type: "host-local",
          ranges: [[{ subnet: "10.244.0.0/24" }]],
          routes: [{ dst: "0.0.0.0/0" }],
          dataDir: "/var/lib/x",
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  });
});

test("planNetwork() limits bandwidth when the plugin is there", () => {
  const plugins = plan([], { bandwidth: true }).conflist.plugins as readonly { readonly type: string }[];
  assert.deepEqual(
    plugins.map(({ type }) => type),
    ["bridge", "portmap", "bandwidth"],
  );
});

function dualNode(name: string, ips: readonly string[], ...podCIDRs: string[]): Node {
  const made = node(name, undefined, ...podCIDRs);
  const addresses = ips.map((address) => ({ type: "InternalIP", address }));
  return { ...made, status: { ...made.status, addresses } };
}

test("planNetwork() carries both families through one tunnel", () => {
  const dual = node("node-1", "172.30.0.11", "10.244.0.0/24", "fd00:244::/64");
  const far = node("node-2", "172.31.0.12", "10.244.1.0/24", "fd00:244:0:1::/64");
  const result = planNetwork(dual, [dual, far], links, options);
  assert.ok(!("notYet" in result));
  assert.deepEqual(result.tunnel?.innerAddresses, ["10.244.0.0", "fd00:244::"]);
  assert.deepEqual(
    result.tunnel?.peers.map(({ innerAddress, nodeIp }) => [innerAddress, nodeIp]),
    [
      ["10.244.1.0", "172.31.0.12"],
      ["fd00:244:0:1::", "172.31.0.12"],
    ],
  );
  assert.deepEqual(
    result.routes.map(({ device }) => device),
    ["knarr-vxlan", "knarr-vxlan"],
  );
});

test("planNetwork() tunnels between IPv6 addresses where there are no others, with room for their longer headers", () => {
  const own6 = dualNode("node-1", ["2001:db8::11"], "fd00:244::/64");
  const far = dualNode("node-2", ["2001:db8:1::12"], "fd00:244:0:1::/64");
  const result = planNetwork(own6, [own6, far], [{ name: "eth0", mtu: 1500, addresses: ["2001:db8::11/64"] }], options);
  assert.ok(!("notYet" in result));
  assert.deepEqual([result.tunnel?.localIp, result.mtu], ["2001:db8::11", 1430]);
});

test("planNetwork() reaches a dual-stack peer on a link of ours directly in both families", () => {
  const dual = dualNode("node-1", ["172.30.0.11", "2001:db8::11"], "10.244.0.0/24", "fd00:244::/64");
  const near = dualNode("node-2", ["172.30.0.12", "2001:db8::12"], "10.244.1.0/24", "fd00:244:0:1::/64");
  const all = [{ name: "eth0", mtu: 1500, addresses: ["172.30.0.11/24", "2001:db8::11/64"] }];
  const result = planNetwork(dual, [dual, near], all, options);
  assert.ok(!("notYet" in result));
  assert.deepEqual(
    result.routes.map(({ via }) => via),
    ["172.30.0.12", "2001:db8::12"],
  );
});

test("planNetwork() serves both families of a dual-stack node", () => {
  const dual = node("node-1", "172.30.0.11", "10.244.0.0/24", "fd00:244::/64");
  const result = planNetwork(dual, [dual], links, { ...options, clusterPrefixes: ["10.244.0.0/16", "fd00:244::/56"] });
  assert.ok(!("notYet" in result));
  assert.deepEqual([...result.rules.keys()], ["ipv4", "ipv6"]);
});

for (const { name, source, destination, want } of [
  { name: "out of the cluster", source: "10.244.0.5", destination: "9.9.9.9", want: true },
  { name: "to a pod of another node", source: "10.244.0.5", destination: "10.244.1.5", want: false },
  { name: "to multicast", source: "10.244.0.5", destination: "224.0.0.251", want: false },
  { name: "through this node from another's pod", source: "10.244.1.5", destination: "9.9.9.9", want: false },
]) {
  test(`planNetwork() ${want ? "masquerades" : "leaves"} what a pod sends ${name}`, () => {
    const ruleset = plan([]).rules.get("ipv4");
    assert.ok(ruleset !== undefined);
    const packet = { source, destination, destinationPort: 53, protocol: "udp", inInterface: "cni0" } as const;
    const fates = tracePacket(ruleset, packet, { addresses: ["172.30.0.11"] });
    assert.deepEqual(
      fates.map((fate) => [fate.verdict, fate.masqueraded]),
      [["accept", want]],
    );
  });
}
