import assert from "node:assert/strict";
import { test } from "node:test";
import { type ActualTunnel, planRoutes, planTunnelCommands } from "./plan-kernel.ts";
import type { Tunnel } from "./plan-network.ts";

test("planRoutes() replaces what differs, removes ours that are not wanted, leaves the rest", () => {
  const lines = planRoutes(
    [
      { prefix: "10.244.1.0/24", via: "172.30.0.12" },
      { prefix: "10.244.2.0/24", via: "10.244.2.0", device: "knarr-vxlan" },
      { prefix: "10.244.3.0/24", via: "172.30.0.14" },
    ],
    [
      { prefix: "10.244.1.0/24", via: "172.30.0.12", device: "eth0" },
      { prefix: "10.244.2.0/24", via: "172.30.0.13", device: "eth0" },
      { prefix: "10.244.9.0/24", via: "172.30.0.19", device: "eth0" },
    ],
  );
  assert.deepEqual(lines, [
    "route del 10.244.9.0/24 proto 75",
    "route replace 10.244.2.0/24 via 10.244.2.0 dev knarr-vxlan onlink proto 75",
    "route replace 10.244.3.0/24 via 172.30.0.14 proto 75",
  ]);
});

const peer = { hardwareAddress: "02:4b:ac:1f:00:0c", innerAddress: "10.244.1.0", nodeIp: "172.31.0.12" };
const wanted: Tunnel = {
  hardwareAddress: "02:4b:ac:1e:00:0b",
  localIp: "172.30.0.11",
  innerAddresses: ["10.244.0.0"],
  mtu: 1450,
  peers: [peer],
};
const asWanted: ActualTunnel = {
  hardwareAddress: wanted.hardwareAddress,
  mtu: 1450,
  localIp: wanted.localIp,
  innerAddresses: wanted.innerAddresses,
  neighbours: new Map([[peer.innerAddress, peer.hardwareAddress]]),
  forwarding: new Map([[peer.hardwareAddress, peer.nodeIp]]),
};

test("planTunnelCommands() makes the device and its entries", () => {
  assert.deepEqual(planTunnelCommands(wanted, undefined), {
    ip: [
      "link add knarr-vxlan address 02:4b:ac:1e:00:0b mtu 1450 type vxlan id 4096 dstport 4789 local 172.30.0.11 nolearning",
      "link set knarr-vxlan up",
      "addr replace 10.244.0.0/32 dev knarr-vxlan",
      "neigh replace 10.244.1.0 lladdr 02:4b:ac:1f:00:0c dev knarr-vxlan nud permanent",
    ],
    bridge: ["fdb replace 02:4b:ac:1f:00:0c dev knarr-vxlan dst 172.31.0.12 self permanent"],
  });
});

test("planTunnelCommands() has nothing to do when all is as wanted", () => {
  assert.deepEqual(planTunnelCommands(wanted, asWanted), { ip: [], bridge: [] });
});

test("planTunnelCommands() removes the entries of a peer that left, and the device when nobody needs it", () => {
  const { ip, bridge } = planTunnelCommands({ ...wanted, peers: [] }, asWanted);
  assert.deepEqual(ip, ["neigh del 10.244.1.0 dev knarr-vxlan"]);
  assert.deepEqual(bridge, ["fdb del 02:4b:ac:1f:00:0c dev knarr-vxlan dst 172.31.0.12 self"]);
  assert.deepEqual(planTunnelCommands(undefined, asWanted).ip, ["link del knarr-vxlan"]);
  assert.deepEqual(planTunnelCommands(undefined, undefined), { ip: [], bridge: [] });
});

test("planTunnelCommands() makes the device anew when the node's address changed", () => {
  const { ip } = planTunnelCommands({ ...wanted, localIp: "172.30.0.99" }, asWanted);
  assert.equal(ip[0], "link del knarr-vxlan");
  assert.match(ip[1] ?? "", /^link add knarr-vxlan .* local 172\.30\.0\.99 /);
});
