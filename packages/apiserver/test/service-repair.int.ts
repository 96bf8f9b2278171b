/** Addresses and ports of Services after a server was killed in the middle of writes, and what the repair makes of them. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { core, networking } from "@knarr/api/generated/resources.ts";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { type Cidr, parseCidr } from "../src/registry/cidr.ts";
import { ClusterIps } from "../src/registry/cluster-ips.ts";
import { NodePorts } from "../src/registry/node-ports.ts";
import type { RepairEvent } from "../src/registry/plan-service-repair.ts";
import { repairOnce } from "../src/registry/repair.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";
import { Storage } from "../src/storage/storage.ts";
import { type Json, useApiserver } from "./api-harness.ts";

const CIDR = parseCidr("10.99.0.0/24") as Cidr;
const RANGE = { min: 30_000, max: 30_127 };
const h = useApiserver({
  serviceClusterIpRange: "10.99.0.0/24",
  args: [`--service-node-port-range=${RANGE.min}-${RANGE.max}`],
});
const SVCS = "/api/v1/namespaces/default/services";
// Addresses and ports asked for by number lie where nothing is given out at random.
const IPS = "/apis/networking.k8s.io/v1/ipaddresses";
const HOUR_MS = 3_600_000;
const service = (name: string, spec: Json = {}): Json => ({
  metadata: { name },
  spec: { ports: [{ port: 80 }], ...spec },
});

/** The same time as everybody's, `ms` off. */
function clockOff(ms: number): Clock {
  return {
    now: () => systemClock.now() + ms,
    monotonicMs: () => systemClock.monotonicMs(),
    sleep: (sleepMs, signal) => systemClock.sleep(sleepMs, signal),
    setTimeout: (run, timeoutMs) => systemClock.setTimeout(run, timeoutMs),
  };
}

let opened: { readonly kv: EtcdStore; readonly storage: Storage } | undefined;
after(() => opened?.kv.close());

/** A storage of our own over the server's etcd. */
function storage(): Storage {
  if (opened === undefined) {
    const tools = { clock: systemClock, log: silentLogger() };
    const kv = new EtcdStore({ endpoints: [h.etcd.endpoint] }, tools);
    opened = { kv, storage: new Storage({ kv, ...tools, compactionIntervalMs: 0 }) };
  }
  return opened.storage;
}

const rangesRef = { group: "", version: "v1", resource: "ranges", kind: "RangeAllocation", namespaced: false } as const;
const ranges = () => storage().resource({ ref: rangesRef, folder: "ranges", cached: false });

/** What a server with a clock that is `ms` off would see, over the same etcd. */
function allocators(ms: number) {
  const clock = clockOff(ms);
  const addresses = storage().resource({ ref: networking.ipaddresses, cached: false });
  return {
    clock,
    ips: new ClusterIps(CIDR, addresses, clock),
    ports: new NodePorts(RANGE, ranges()),
    services: storage().resource({ ref: core.services, folder: "services/specs", cached: false }),
  };
}

async function repair(rounds: number): Promise<RepairEvent[]> {
  const events: RepairEvent[] = [];
  const options = {
    ...allocators(HOUR_MS),
    log: silentLogger(),
    tell: (event: RepairEvent) => void events.push(event),
  };
  let unused: ReadonlyMap<number, number> = new Map();
  for (let round = 0; round < rounds; round++) unused = await repairOnce(options, unused);
  return events;
}

/** Every Service's address and ports are its own, and nothing else is marked but `besides`. */
async function assertExact(besides: readonly string[]): Promise<void> {
  const { items } = (await h.call("GET", "/api/v1/services")).body as { items: Json[] };
  const ips = items.map((item) => item.spec.clusterIP);
  const ports = items.flatMap((item) => item.spec.ports.map((port: Json) => port.nodePort ?? 0)).filter((n) => n > 0);
  assert.equal(new Set(ips).size, ips.length, "an address serves two Services");
  assert.equal(new Set(ports).size, ports.length, "a port serves two Services");
  const { ips: marked, ports: bits } = allocators(0);
  const owners = new Map([...(await marked.list())].map(([ip, { owner }]) => [ip, owner]));
  for (const item of items) {
    assert.equal(owners.get(item.spec.clusterIP), `${item.metadata.namespace}/${item.metadata.name}`);
  }
  assert.deepEqual([...owners.keys()].filter((ip) => !ips.includes(ip)).sort(), [...besides].sort());
  assert.deepEqual(
    [...(await bits.taken())].sort((a, b) => a - b),
    ports.sort((a, b) => a - b),
  );
}

test("a server killed between taking and writing leaves nothing that stays taken, and nothing taken twice", async () => {
  const acknowledged = new Map<string, string>();
  let next = 0;
  const lane = async () => {
    for (;;) {
      const name = `crash-${next++}`;
      try {
        const { status, body } = await h.call("POST", SVCS, { body: service(name, { type: "NodePort" }) });
        if (status === 201) acknowledged.set(name, body.spec.clusterIP);
        else return;
        if (acknowledged.size % 3 === 0)
          await h.call("DELETE", `${SVCS}/${name}`).then(() => acknowledged.delete(name));
        if (acknowledged.size >= 12) return;
      } catch {
        // The server was killed: whether this one was written is not known.
        return;
      }
    }
  };
  const lanes = Array.from({ length: 8 }, lane);
  await Promise.race(lanes);
  await h.api.kill();
  await Promise.all(lanes);
  // What it may have died over, for certain this time.
  const { ips, ports } = allocators(0);
  assert.equal(await ips.take("10.99.0.2", { namespace: "default", name: "never-written" }), true);
  await ports.correct(new Set([30_002]), new Set());
  await h.api.restart();
  for (const [name, clusterIP] of acknowledged) {
    const { status, body } = await h.call("GET", `${SVCS}/${name}`);
    // A delete under way when the server died is not acknowledged either way.
    if (status === 200) assert.equal(body.spec.clusterIP, clusterIP);
  }
  await repair(4);
  await assertExact([]);
});

test("the repair marks what lost its mark, gives it to its user, and leaves what is kept by hand", async () => {
  const one = await h.create(SVCS, service("unmarked", { type: "NodePort" }));
  const two = await h.create(SVCS, service("mistaken"));
  const kept = {
    metadata: { name: "10.99.0.6", labels: { "ipaddress.kubernetes.io/managed-by": "gateways.example.com" } },
    spec: { parentRef: { group: "", resource: "services", namespace: "default", name: "outside" } },
  };
  await h.create(IPS, kept);
  const { ips, ports } = allocators(0);
  await ips.release(one.spec.clusterIP, { namespace: "default", name: "unmarked" });
  await ports.release([one.spec.ports[0].nodePort]);
  const { revision = 0 } = (await ips.markOf(two.spec.clusterIP)) ?? {};
  assert.equal(await ips.reassign(two.spec.clusterIP, { namespace: "default", name: "ghost" }, revision), true);
  const events = await repair(1);
  assert.deepEqual(events.map(({ service: { metadata }, reason }) => `${metadata.name} ${reason}`).sort(), [
    "mistaken ClusterIPNotAllocated",
    "unmarked ClusterIPNotAllocated",
    "unmarked PortNotAllocated",
  ]);
  await repair(4);
  await assertExact(["10.99.0.6"]);
  await h.call("DELETE", `${IPS}/10.99.0.6`);
});

test("an address left marked for a name may be asked for again once no write can mean it", async () => {
  const key = (name: string) => ({ namespace: "default", name });
  assert.equal(await allocators(-HOUR_MS).ips.take("10.99.0.3", key("comeback")), true);
  assert.equal(await allocators(HOUR_MS).ips.take("10.99.0.4", key("hasty")), true);
  await h.create(SVCS, service("comeback", { clusterIP: "10.99.0.3" }));
  const hasty = await h.call("POST", SVCS, { body: service("hasty", { clusterIP: "10.99.0.4" }) });
  assert.equal(hasty.status, 422, hasty.text);
  assert.match(hasty.body.message, /provided IP is already allocated/);
  const again = await h.call("POST", SVCS, { body: service("comeback", { clusterIP: "10.99.0.3" }) });
  assert.equal(again.status, 409, again.text);
  await allocators(0).ips.release("10.99.0.4", key("hasty"));
  await assertExact([]);
});

test("a late release leaves alone what a Service of the same name took since", async () => {
  const { ips } = allocators(0);
  const key = { namespace: "default", name: "twice" };
  assert.equal(await ips.take("10.99.0.5", key), true);
  const first = await ips.markOf("10.99.0.5");
  assert.equal(await ips.adopt("10.99.0.5", key, { atOnce: true }), true);
  await ips.release("10.99.0.5", key, { atMost: first?.revision ?? 0 });
  assert.notEqual(await ips.markOf("10.99.0.5"), undefined);
  await ips.release("10.99.0.5", key);
  assert.equal(await ips.markOf("10.99.0.5"), undefined);
});

test("another range of node ports keeps the marks of the ports that both have", async () => {
  const made = await h.create(SVCS, service("ranged", { type: "NodePort", ports: [{ port: 80, nodePort: 30_003 }] }));
  const other = new NodePorts({ min: 30_003, max: 30_020 }, ranges());
  assert.ok((await other.taken()).has(made.spec.ports[0].nodePort));
  assert.equal(await other.take(made.spec.ports[0].nodePort), false);
});
