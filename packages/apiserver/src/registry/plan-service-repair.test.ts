import assert from "node:assert/strict";
import { test } from "node:test";
import { type Cidr, parseCidr } from "./cidr.ts";
import { planServiceRepair, type RepairView, type StoredService } from "./plan-service-repair.ts";

const NOW = Date.UTC(2026, 0, 1);
const OLD = NOW - 600_000;

function service(name: string, clusterIP: string, nodePort?: number): StoredService {
  const ports = [{ port: 80, ...(nodePort === undefined ? {} : { nodePort }) }];
  return { metadata: { name, namespace: "ns" }, spec: { clusterIP, clusterIPs: [clusterIP], ports } } as StoredService;
}

const mark = (owner: string, more: { createdMs?: number; isOurs?: boolean } = {}) => ({
  owner,
  createdMs: OLD,
  revision: 7,
  isOurs: true,
  ...more,
});

function plan(view: Partial<RepairView>) {
  return planServiceRepair({
    services: [],
    addresses: new Map(),
    ports: new Set(),
    cidr: parseCidr("10.99.0.0/24") as Cidr,
    range: { min: 30_000, max: 30_063 },
    nowMs: NOW,
    unusedPorts: new Map(),
    ...view,
  });
}

test("planServiceRepair() finds nothing where all agree", () => {
  const { mark: marks, ...rest } = plan({
    services: [service("a", "10.99.0.5", 30_001), service("headless", "None")],
    addresses: new Map([["10.99.0.5", mark("ns/a")]]),
    ports: new Set([30_001]),
  });
  assert.deepEqual(marks, []);
  assert.deepEqual([rest.reassign, rest.free, rest.events], [[], [], []]);
  assert.deepEqual([rest.markPorts.size, rest.freePorts.size, rest.unusedPorts.size], [0, 0, 0]);
});

test("planServiceRepair() marks what is used and not marked", () => {
  const found = plan({ services: [service("a", "10.99.0.5", 30_001)] });
  assert.deepEqual(
    found.mark.map(({ address, owner, event }) => [address, owner, event.reason, event.message]),
    [["10.99.0.5", "ns/a", "ClusterIPNotAllocated", "Cluster IP [IPv4]: 10.99.0.5 is not allocated; repairing"]],
  );
  assert.equal(found.markPorts.get(30_001)?.message, "Port 30001 is not allocated; repairing");
});

test("planServiceRepair() gives a mark to the Service that uses the address", () => {
  const found = plan({ services: [service("b", "10.99.0.5")], addresses: new Map([["10.99.0.5", mark("ns/gone")]]) });
  assert.deepEqual(
    found.reassign.map(({ owner, revision }) => [owner, revision]),
    [["ns/b", 7]],
  );
  assert.deepEqual(found.free, []);
});

test("planServiceRepair() tells the second of two Services with one address or port", () => {
  const found = plan({
    services: [service("a", "10.99.0.5", 30_001), service("b", "10.99.0.5", 30_001)],
    addresses: new Map([["10.99.0.5", mark("ns/b")]]),
    ports: new Set([30_001]),
  });
  assert.deepEqual(found.reassign, []);
  assert.deepEqual(
    found.events.map((event) => [event.service.metadata.name, event.reason]),
    [
      ["a", "ClusterIPAlreadyAllocated"],
      ["b", "PortAlreadyAllocated"],
    ],
  );
});

test("planServiceRepair() tells of what lies outside", () => {
  const found = plan({ services: [service("a", "10.98.0.5", 29_000)] });
  assert.deepEqual(
    found.events.map(({ message }) => message),
    [
      "Cluster IP [IPv4]:10.98.0.5 is not within the service CIDR 10.99.0.0/24; please recreate service",
      "Port 29000 is not within the port range 30000-30063; please recreate service",
    ],
  );
  assert.deepEqual([found.mark, found.markPorts.size], [[], 0]);
});

test("planServiceRepair() frees old marks of ours that nobody uses, and no others", () => {
  const found = plan({
    addresses: new Map([
      ["10.99.0.5", mark("ns/gone")],
      ["10.99.0.6", mark("ns/coming", { createdMs: NOW - 1000 })],
      ["10.99.0.7", mark("ns/gateway", { isOurs: false })],
      ["10.50.0.7", mark("ns/another-block")],
    ]),
  });
  assert.deepEqual(found.free, [{ address: "10.99.0.5", owner: "ns/gone", revision: 7 }]);
});

test("planServiceRepair() frees a port when the fourth round in a row finds it unused", () => {
  let unusedPorts: ReadonlyMap<number, number> = new Map();
  const freed: number[][] = [];
  for (let round = 0; round < 4; round++) {
    const found = plan({ ports: new Set([30_001]), unusedPorts });
    unusedPorts = found.unusedPorts;
    freed.push([...found.freePorts]);
  }
  assert.deepEqual(freed, [[], [], [], [30_001]]);
  const used = plan({ services: [service("a", "None", 30_001)], ports: new Set([30_001]), unusedPorts });
  assert.deepEqual([...used.freePorts], []);
});
