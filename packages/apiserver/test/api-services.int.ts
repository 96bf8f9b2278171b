/** Services at the level of HTTP: addresses and ports are unique, survive, and are given back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Json, useApiserver } from "./api-harness.ts";

const h = useApiserver({ serviceClusterIpRange: "10.99.0.0/24", args: ["--service-node-port-range=30000-30063"] });
const SVCS = "/api/v1/namespaces/default/services";
const IPS = "/apis/networking.k8s.io/v1/ipaddresses";
const service = (name: string, spec: Json = {}): Json => ({
  metadata: { name },
  spec: { ports: [{ port: 80 }], ...spec },
});

test("default/kubernetes has the first address, and its endpoints name this server", async () => {
  const { body } = await h.call("GET", `${SVCS}/kubernetes`);
  assert.equal(body.spec.clusterIP, "10.99.0.1");
  const slice = (await h.call("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")).body;
  assert.equal(slice.ports[0].port, h.api.port);
  assert.equal(slice.endpoints.length, 1);
  const endpoints = (await h.call("GET", "/api/v1/namespaces/default/endpoints/kubernetes")).body;
  assert.equal(endpoints.subsets[0].addresses[0].ip, slice.endpoints[0].addresses[0]);
});

test("concurrent creates never share an address or a node port", async () => {
  const made = await Promise.all(
    Array.from({ length: 30 }, (_, i) => h.create(SVCS, service(`many-${i}`, { type: "NodePort" }))),
  );
  assert.equal(new Set(made.map((s) => s.spec.clusterIP)).size, 30);
  assert.equal(new Set(made.map((s) => s.spec.ports[0].nodePort)).size, 30);
  for (const s of made) assert.match(s.spec.clusterIP, /^10\.99\.0\.\d+$/);
  const held = (await h.call("GET", IPS)).body.items.map((i: Json) => i.metadata.name);
  for (const s of made) assert.ok(held.includes(s.spec.clusterIP));
  await h.call("DELETE", `${SVCS}?labelSelector=none%3Dnone`);
  for (let i = 0; i < 30; i += 1) await h.call("DELETE", `${SVCS}/many-${i}`);
  const left = (await h.call("GET", IPS)).body.items;
  assert.equal(left.length, 1);
});

test("what was asked for by number is refused when taken or outside", async () => {
  await h.create(
    SVCS,
    service("fixed", { clusterIP: "10.99.0.77", type: "NodePort", ports: [{ port: 80, nodePort: 30007 }] }),
  );
  const ip = await h.call("POST", SVCS, { body: service("same-ip", { clusterIP: "10.99.0.77" }) });
  assert.equal(ip.status, 422);
  assert.match(
    ip.body.message,
    /spec\.clusterIPs: Invalid value: \["10\.99\.0\.77"\]: failed to allocate IP 10\.99\.0\.77: provided IP is already allocated/,
  );
  const outside = await h.call("POST", SVCS, { body: service("outside", { clusterIP: "10.98.0.1" }) });
  assert.equal(outside.status, 422);
  const port = await h.call("POST", SVCS, {
    body: service("same-port", { type: "NodePort", ports: [{ port: 80, nodePort: 30007 }] }),
  });
  assert.equal(port.status, 422);
  assert.match(
    port.body.message,
    /spec\.ports\[0\]\.nodePort: Invalid value: 30007: provided port is already allocated/,
  );
  const range = await h.call("POST", SVCS, {
    body: service("far-port", { type: "NodePort", ports: [{ port: 80, nodePort: 8080 }] }),
  });
  assert.match(range.body.message, /The range of valid ports is 30000-30063/);
  // The refused ones took nothing with them.
  assert.equal((await h.call("GET", IPS)).body.items.length, 2);
});

test("a refused write gives back what it took", async () => {
  const before = (await h.call("GET", IPS)).body.items.length;
  const bad = await h.call("POST", SVCS, { body: service("bad", { type: "NodePort", ports: [{ port: 70000 }] }) });
  assert.equal(bad.status, 422);
  assert.equal((await h.call("GET", IPS)).body.items.length, before);
});

test("a type that needs no address or port gives it up; a manifest without them keeps them", async () => {
  const made = await h.create(SVCS, service("change", { type: "NodePort" }));
  const { clusterIP } = made.spec;
  const { nodePort } = made.spec.ports[0];
  const same = await h.call("PUT", `${SVCS}/change`, {
    body: { ...service("change", { type: "NodePort" }), metadata: made.metadata },
  });
  assert.equal(same.body.spec.clusterIP, clusterIP);
  assert.equal(same.body.spec.ports[0].nodePort, nodePort);
  const merge = { "content-type": "application/merge-patch+json" };
  const patch = (spec: Json) => h.call("PATCH", `${SVCS}/change`, { body: { spec }, headers: merge });
  const plain = await patch({ type: "ClusterIP" });
  assert.equal(plain.body.spec.ports[0].nodePort, undefined, plain.text);
  const again = await h.create(SVCS, service("taker", { type: "NodePort", ports: [{ port: 80, nodePort }] }));
  assert.equal(again.spec.ports[0].nodePort, nodePort);
  const external = await patch({ type: "ExternalName", externalName: "example.com" });
  assert.equal(external.status, 200, external.text);
  assert.equal(external.body.spec.clusterIP, undefined);
  assert.equal((await h.call("GET", `${IPS}/${clusterIP}`)).status, 404);
  const back = await patch({ type: "ClusterIP", externalName: null });
  assert.match(back.body.spec.clusterIP, /^10\.99\.0\./);
});

test("headless Services have no address", async () => {
  const made = await h.create(SVCS, service("headless", { clusterIP: "None", selector: { a: "b" } }));
  assert.deepEqual(made.spec.clusterIPs, ["None"]);
  assert.deepEqual(made.spec.ipFamilies, ["IPv4"]);
});

test("a cluster IP cannot be changed", async () => {
  await h.create(SVCS, service("immutable"));
  const answer = await h.call("PATCH", `${SVCS}/immutable`, {
    body: { spec: { clusterIP: "10.99.0.99" } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.equal(answer.status, 422);
  assert.equal((await h.call("GET", `${IPS}/10.99.0.99`)).status, 404);
});

test("allocations survive kill -9 of the server", async () => {
  const made = await h.create(SVCS, service("survivor", { type: "NodePort" }));
  await h.api.kill();
  await h.api.restart();
  const ip = await h.call("POST", SVCS, { body: service("thief", { clusterIP: made.spec.clusterIP }) });
  assert.equal(ip.status, 422);
  const port = await h.call("POST", SVCS, {
    body: service("thief", { type: "NodePort", ports: [{ port: 80, nodePort: made.spec.ports[0].nodePort }] }),
  });
  assert.equal(port.status, 422);
});

test("a dry run shows an address and ports that would do, takes none, and refuses what is taken", async () => {
  const held = async () => (await h.call("GET", IPS)).body.items.length;
  const before = await held();
  const dry = await h.call("POST", `${SVCS}?dryRun=All`, { body: service("dry", { type: "NodePort" }) });
  assert.equal(dry.status, 201);
  assert.match(dry.body.spec.clusterIP, /^10\.99\.0\.\d+$/);
  assert.ok(dry.body.spec.ports[0].nodePort >= 30000);
  assert.equal(await held(), before);
  const taken = await h.call("POST", `${SVCS}?dryRun=All`, { body: service("dry", { clusterIP: "10.99.0.1" }) });
  assert.equal(taken.status, 422);
  const kept = await h.create(SVCS, service("after-dry", { type: "NodePort", ports: dry.body.spec.ports }));
  assert.equal(kept.spec.ports[0].nodePort, dry.body.spec.ports[0].nodePort);
});
