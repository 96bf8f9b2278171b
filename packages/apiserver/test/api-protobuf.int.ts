/** Clients that speak protobuf, as Go operators and upstream's daemons do: bodies, answers, lists, watches, errors. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { kindSchema, structSchema } from "@knarr/api/schema.ts";
import { decodeMessage, openEnvelope } from "../src/protobuf/decode.ts";
import { encodeObject, protobufSchema } from "../src/protobuf/encode.ts";
import { configMap, type Json, pod, useApiserver } from "./api-harness.ts";

const TYPE = "application/vnd.kubernetes.protobuf";
const harness = useApiserver({
  prepare: (api) =>
    api.create("/api/v1/namespaces/default/serviceaccounts", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default" },
    }),
});
const PODS = "/api/v1/namespaces/default/pods";
const MAPS = "/api/v1/namespaces/default/configmaps";

async function bytesOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** An answer in its envelope as JSON. */
function opened(bytes: Buffer): Json {
  const { apiVersion, kind, raw } = openEnvelope(bytes);
  const schema = protobufSchema(apiVersion, kind);
  assert.ok(schema, `${apiVersion} ${kind}`);
  return { apiVersion, kind, ...decodeMessage(raw, schema) };
}

async function call(method: string, path: string, options: { body?: Json; accept?: string } = {}) {
  const response = await harness.open(method, path, {
    headers: { accept: options.accept ?? `${TYPE}, application/json`, "content-type": TYPE },
    ...(options.body === undefined ? {} : { body: encodeObject(options.body) }),
  });
  const bytes = await bytesOf(response);
  const type = String(response.headers["content-type"]);
  return {
    status: response.statusCode,
    type,
    body: type === TYPE ? opened(bytes) : JSON.parse(bytes.toString()),
  };
}

test("a pod goes in and comes out as protobuf, and is the one that JSON shows", async () => {
  const made = await call("POST", PODS, { body: pod("proto") });
  assert.deepEqual([made.status, made.type, made.body.kind], [201, TYPE, "Pod"]);
  assert.equal(made.body.spec.containers[0].terminationMessagePath, "/dev/termination-log");
  const json = (await harness.call("GET", `${PODS}/proto`)).body;
  assert.equal(made.body.metadata.resourceVersion, json.metadata.resourceVersion);
  assert.equal(made.body.metadata.creationTimestamp, json.metadata.creationTimestamp);
  const status = { ...json, status: { ...json.status, podIP: "10.1.2.3", podIPs: [{ ip: "10.1.2.3" }] } };
  const written = await call("PUT", `${PODS}/proto/status`, { body: status });
  assert.deepEqual([written.status, written.body.status.podIP], [200, "10.1.2.3"]);
  const gone = await call("DELETE", `${PODS}/proto`, {
    body: { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0, preconditions: { uid: json.metadata.uid } },
  });
  assert.deepEqual([gone.status, gone.type, gone.body.kind], [200, TYPE, "Pod"]);
});

test("DeleteOptions in protobuf with the uid of another object is a conflict", async () => {
  await harness.create(MAPS, configMap("kept"));
  const body = { kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid: "other" } };
  const answer = await call("DELETE", `${MAPS}/kept`, { body });
  assert.deepEqual(
    [answer.status, answer.type, answer.body.kind, answer.body.reason],
    [409, TYPE, "Status", "Conflict"],
  );
});

test("errors and successes are Status messages", async () => {
  const missing = await call("GET", `${MAPS}/nowhere`);
  assert.deepEqual([missing.status, missing.type], [404, TYPE]);
  assert.deepEqual(
    [missing.body.kind, missing.body.code, missing.body.details.name, missing.body.message],
    ["Status", 404, "nowhere", 'configmaps "nowhere" not found'],
  );
  const invalid = await call("POST", MAPS, { body: configMap("Not A Name") });
  assert.equal(invalid.status, 422);
  assert.equal(invalid.body.details.causes[0].field, "metadata.name");
  await harness.create(MAPS, configMap("short-lived"));
  const deleted = await call("DELETE", `${MAPS}/short-lived`);
  assert.deepEqual([deleted.status, deleted.body.status, deleted.body.details.kind], [200, "Success", "configmaps"]);
});

test("a body that says protobuf and is none is 400, one of another kind too", async () => {
  const headers = { "content-type": TYPE };
  const garbage = await harness.call("POST", MAPS, { headers, body: Buffer.from("{}") });
  assert.equal(garbage.status, 400);
  const other = await harness.call("POST", MAPS, { headers, body: encodeObject(pod("x")) });
  assert.equal(other.status, 400);
});

test("lists are PodList and friends, with metadata, pages and selectors", async () => {
  for (const name of ["l1", "l2", "l3"])
    await harness.create(MAPS, configMap(name, { k: name }, { labels: { list: "1" } }));
  const page = await call("GET", `${MAPS}?labelSelector=list%3D1&limit=2`);
  assert.deepEqual([page.status, page.type, page.body.kind], [200, TYPE, "ConfigMapList"]);
  assert.deepEqual(
    page.body.items.map((item: Json) => [item.metadata.name, item.data.k]),
    [
      ["l1", "l1"],
      ["l2", "l2"],
    ],
  );
  const token = encodeURIComponent(page.body.metadata.continue);
  const rest = await call("GET", `${MAPS}?labelSelector=list%3D1&limit=2&continue=${token}`);
  assert.deepEqual(
    rest.body.items.map((item: Json) => item.metadata.name),
    ["l3"],
  );
  assert.equal(rest.body.metadata.resourceVersion, page.body.metadata.resourceVersion);
});

test("metadata alone comes as protobuf, a table as JSON, an unknown type as 406", async () => {
  const as = (kind: string) => `${TYPE};as=${kind};g=meta.k8s.io;v=v1`;
  await harness.create(MAPS, configMap("meta", { big: "x" }));
  const one = await call("GET", `${MAPS}/meta`, { accept: as("PartialObjectMetadata") });
  assert.deepEqual([one.type, one.body.kind, one.body.metadata.name], [TYPE, "PartialObjectMetadata", "meta"]);
  const accept = `${as("PartialObjectMetadataList")},application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1`;
  const list = await call("GET", `${MAPS}?fieldSelector=metadata.name%3Dmeta`, { accept });
  assert.deepEqual([list.type, list.body.kind, list.body.items.length], [TYPE, "PartialObjectMetadataList", 1]);
  const table = await call("GET", MAPS, { accept: `${as("Table")},application/json;as=Table;g=meta.k8s.io;v=v1` });
  assert.deepEqual([table.type, table.body.kind], ["application/json", "Table"]);
  assert.equal((await call("GET", MAPS, { accept: as("Table") })).status, 406);
});

/** Frames of a watch stream: 4 bytes of length, then a WatchEvent. */
async function* framesOf(response: IncomingMessage): AsyncGenerator<{ type: string; object: Json }> {
  let rest = Buffer.alloc(0);
  for await (const chunk of response) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
      const end = 4 + rest.readUInt32BE();
      yield eventOf(rest.subarray(4, end));
      rest = rest.subarray(end);
    }
  }
}

function eventOf(frame: Buffer): { type: string; object: Json } {
  // The event is no envelope; put into one, the reader of envelopes finds type (1) where a kind would be.
  const schema = structSchema("meta/v1", "WatchEvent");
  const typeLength = frame[1] as number;
  assert.equal(frame[0], 0x0a);
  assert.ok(schema);
  const inner = frame.subarray(2 + typeLength);
  assert.equal(inner[0], 0x12);
  const raw = inner.subarray(inner.indexOf("k8s\0"));
  return { type: frame.subarray(2, 2 + typeLength).toString(), object: opened(raw) };
}

test("a watch is framed events with initial events, their bookmark, changes and deletions", async () => {
  await harness.create(MAPS, configMap("w1", {}, { labels: { watch: "1" } }));
  const query =
    "watch=1&labelSelector=watch%3D1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const accept = `${TYPE}, */*`;
  const response = await harness.open("GET", `${MAPS}?${query}&timeoutSeconds=60`, { headers: { accept } });
  assert.equal(response.headers["content-type"], `${TYPE};stream=watch`);
  const frames = framesOf(response);
  const next = async () => (await frames.next()).value as { type: string; object: Json };
  const added = await next();
  assert.deepEqual([added.type, added.object.kind, added.object.metadata.name], ["ADDED", "ConfigMap", "w1"]);
  const bookmark = await next();
  assert.deepEqual(
    [bookmark.type, bookmark.object.metadata.annotations],
    ["BOOKMARK", { "k8s.io/initial-events-end": "true" }],
  );
  await harness.call("PATCH", `${MAPS}/w1`, {
    body: { data: { a: "b" } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  const modified = await next();
  assert.deepEqual([modified.type, modified.object.data], ["MODIFIED", { a: "b" }]);
  await harness.call("DELETE", `${MAPS}/w1`);
  assert.equal((await next()).type, "DELETED");
  response.destroy();
});

test("a watch of metadata alone is framed PartialObjectMetadata", async () => {
  const accept = `${TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`;
  await harness.create(MAPS, configMap("w2", { data: "left out" }, { labels: { watch: "2" } }));
  const response = await harness.open("GET", `${MAPS}?watch=1&labelSelector=watch%3D2&timeoutSeconds=60`, {
    headers: { accept },
  });
  for await (const { type, object } of framesOf(response)) {
    assert.deepEqual([type, object.kind, object.metadata.name], ["ADDED", "PartialObjectMetadata", "w2"]);
    break;
  }
  response.destroy();
});

test("scale, tokens, reviews, bindings and evictions speak protobuf both ways", async () => {
  const scaled = { replicas: 1, selector: { matchLabels: { a: "b" } } };
  await harness.create("/apis/apps/v1/namespaces/default/deployments", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: { ...scaled, template: { metadata: { labels: { a: "b" } }, spec: pod("x").spec } },
  });
  const path = "/apis/apps/v1/namespaces/default/deployments/d/scale";
  const scale = await call("GET", path);
  assert.deepEqual([scale.type, scale.body.kind, scale.body.status.selector], [TYPE, "Scale", "a=b"]);
  const put = await call("PUT", path, { body: { ...scale.body, spec: { replicas: 3 } } });
  assert.deepEqual([put.status, put.body.spec.replicas], [200, 3]);
  const review = await call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      metadata: {},
      spec: { resourceAttributes: { verb: "get", resource: "pods" } },
    },
  });
  assert.deepEqual([review.status, review.type, review.body.status.allowed], [201, TYPE, true]);
  await harness.create(PODS, pod("bound"));
  const binding = await call("POST", `${PODS}/bound/binding`, {
    body: { apiVersion: "v1", kind: "Binding", metadata: { name: "bound" }, target: { kind: "Node", name: "n" } },
  });
  assert.deepEqual([binding.status, binding.body.kind, binding.body.status], [201, "Status", "Success"]);
  const eviction = await call("POST", `${PODS}/bound/eviction`, {
    body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "bound", namespace: "default" } },
  });
  assert.deepEqual([eviction.status, eviction.body.status], [201, "Success"]);
});

test("every kind that is listed can be listed as protobuf", async () => {
  const groups = (await harness.call("GET", "/apis")).body.groups as Json[];
  const versions = ["/api/v1", ...groups.map((group) => `/apis/${group.preferredVersion.groupVersion}`)];
  for (const version of versions) {
    const { resources } = (await harness.call("GET", version)).body;
    for (const { name, kind, verbs } of resources as Json[]) {
      if (name.includes("/") || !verbs.includes("list")) continue;
      const list = await call("GET", `${version}/${name}`);
      assert.deepEqual([list.status, list.type, list.body.kind], [200, TYPE, `${kind}List`], name);
      const [group, v] = version === "/api/v1" ? ["", "v1"] : version.slice(6).split("/");
      assert.ok(kindSchema(group ?? "", v ?? "", kind));
    }
  }
});
