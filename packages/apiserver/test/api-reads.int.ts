/** List and watch at the level of HTTP: selectors, paging, representations, streams. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "node:tls";
import { gunzipSync } from "node:zlib";
import { configMap, EventReader, type Json, pod, useApiserver } from "./api-harness.ts";

const h = useApiserver();
const CMS = "/api/v1/namespaces/default/configmaps";
const inNamespace = async (name: string) => {
  await h.create("/api/v1/namespaces", { metadata: { name } });
  return `/api/v1/namespaces/${name}/configmaps`;
};
const watch = async (path: string) => new EventReader(await h.open("GET", path));

test("list filters by label and field selectors and refuses unknown fields", async () => {
  const cms = await inNamespace("selectors");
  await h.create(cms, configMap("a", {}, { labels: { app: "x", tier: "front" } }));
  await h.create(cms, configMap("b", {}, { labels: { app: "y" } }));
  const names = async (query: string) =>
    (await h.call("GET", `${cms}?${query}`)).body.items.map((i: Json) => i.metadata.name);
  assert.deepEqual(await names("labelSelector=app%3Dx"), ["a"]);
  assert.deepEqual(await names("labelSelector=app%20in%20(x,y),!tier"), ["b"]);
  assert.deepEqual(await names("fieldSelector=metadata.name%3Da"), ["a"]);
  assert.deepEqual(await names("fieldSelector=metadata.name%21%3Da"), ["b"]);
  const unknown = await h.call("GET", `${cms}?fieldSelector=data.x%3D1`);
  assert.equal(unknown.status, 400);
  assert.match(
    unknown.body.message,
    /"data\.x" is not a known field selector: only "metadata\.name", "metadata\.namespace"/,
  );
  assert.equal((await h.call("GET", `${cms}?labelSelector=a%3D%3D%3D`)).status, 400);
});

test("pages hold the first page's version, with exact remaining counts", async () => {
  const cms = await inNamespace("pages");
  for (let i = 0; i < 7; i += 1) await h.create(cms, configMap(`p${i}`));
  const first = (await h.call("GET", `${cms}?limit=3`)).body;
  assert.equal(first.metadata.remainingItemCount, 4);
  await h.create(cms, configMap("p9"));
  const token = encodeURIComponent(first.metadata.continue);
  const second = (await h.call("GET", `${cms}?limit=3&continue=${token}`)).body;
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
  assert.equal(second.metadata.remainingItemCount, 1);
  const last = (await h.call("GET", `${cms}?limit=3&continue=${encodeURIComponent(second.metadata.continue)}`)).body;
  assert.equal(last.metadata.continue, undefined);
  assert.equal(last.metadata.remainingItemCount, undefined);
  const all = [...first.items, ...second.items, ...last.items].map((i: Json) => i.metadata.name);
  assert.deepEqual(all, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
  assert.equal((await h.call("GET", `${cms}?limit=3&continue=nonsense`)).status, 400);
});

test("list of all namespaces, and trailing slashes", async () => {
  const all = await h.call("GET", "/api/v1/configmaps");
  assert.equal(all.body.kind, "ConfigMapList");
  assert.equal((await h.call("GET", `${CMS}/`)).status, 200);
  assert.equal((await h.call("GET", "/api/v1/nonsense")).status, 404);
  assert.equal((await h.call("GET", "/api/v1/namespaces/default/nodes")).status, 404);
});

test("resourceVersionMatch is checked", async () => {
  assert.equal((await h.call("GET", `${CMS}?resourceVersionMatch=Exact`)).status, 422);
  assert.equal((await h.call("GET", `${CMS}?resourceVersion=0&resourceVersionMatch=Exact`)).status, 422);
  assert.equal((await h.call("GET", `${CMS}?resourceVersion=0&resourceVersionMatch=NotOlderThan`)).status, 200);
  assert.equal((await h.call("GET", `${CMS}?resourceVersion=abc`)).status, 400);
  const message = async (query: string) => (await h.call("GET", `${CMS}?${query}`)).body.message as string;
  const forbidden = /resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden/;
  assert.match(
    await message("resourceVersionMatch=Exact&resourceVersion=5&continue=x"),
    /is forbidden when continue is provided/,
  );
  assert.match(
    await message("resourceVersionMatch=Foo&resourceVersion=5"),
    /supported values: "Exact", "NotOlderThan", ""/,
  );
  assert.match(await message("sendInitialEvents=true"), /sendInitialEvents is forbidden for list/);
  assert.match(await message("watch=1&resourceVersionMatch=NotOlderThan"), forbidden);
  assert.match(
    await message("watch=1&sendInitialEvents=true"),
    /sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/,
  );
  assert.match(
    await message("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact"),
    /Unsupported value: "Exact": supported values: "NotOlderThan"/,
  );
  assert.match(await message("resourceVersion=999999999"), /Too large resource version: 999999999, current: \d+/);
});

test("Accept chooses Table, metadata only, YAML; what cannot be served is 406", async () => {
  const cms = await inNamespace("accept");
  await h.create(cms, configMap("a", { k: "v" }));
  const get = (accept: string, path = cms) => h.call("GET", path, { headers: { accept } });
  const tableType = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const table = (await get(`${tableType},application/json`)).body;
  assert.equal(table.kind, "Table");
  assert.deepEqual(
    table.columnDefinitions.map((c: Json) => c.name),
    ["Name", "Data", "Age"],
  );
  assert.deepEqual(table.rows[0].cells.slice(0, 2), ["a", 1]);
  assert.equal(table.rows[0].object.kind, "PartialObjectMetadata");
  const none = (await get(tableType, `${cms}?includeObject=None`)).body;
  assert.equal(none.rows[0].object, undefined);
  const whole = (await get(tableType, `${cms}/a?includeObject=Object`)).body;
  assert.equal(whole.rows[0].object.data.k, "v");
  const partial = (await get("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")).body;
  assert.equal(partial.kind, "PartialObjectMetadataList");
  assert.equal(partial.items[0].data, undefined);
  assert.match((await get("application/yaml", `${cms}/a`)).text, /^kind: ConfigMap$/m);
  assert.match((await get("application/yaml")).text, /^kind: ConfigMapList$/m);
  assert.equal((await get("application/vnd.kubernetes.protobuf")).text.slice(0, 4), "k8s\0");
  assert.equal((await get("application/json")).body.items[0].kind, undefined, "items of typed lists carry no kind");
  const curl = (path: string) => h.call("GET", path, { headers: { "user-agent": "curl/8" } });
  assert.match((await curl(`${cms}/a`)).text, /^{\n {2}"kind": "ConfigMap",\n/);
  assert.match((await curl(cms)).text, /^{\n {2}"kind": "ConfigMapList",\n/);
  assert.match((await curl(`${cms}/b`)).text, /^{\n {2}"kind": "Status",\n/);
  assert.match((await curl(`${cms}/a?pretty=false`)).text, /^{"kind":"ConfigMap",/);
  assert.match((await get("", `${cms}/a?pretty=true`)).text, /^{\n {2}"kind": "ConfigMap",\n/);
  assert.equal((await get("text/html")).status, 406);
});

test("large answers are compressed for those who accept it", async () => {
  const cms = await inNamespace("gzip");
  for (let i = 0; i < 3; i += 1) await h.create(cms, configMap(`g${i}`, { a: "x".repeat(100_000) }));
  const stream = await h.open("GET", cms, { headers: { "accept-encoding": "gzip" } });
  assert.equal(stream.headers["content-encoding"], "gzip");
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  assert.equal(JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()).items.length, 3);
  const plain = await h.call("GET", `${cms}/g0`, { headers: { "accept-encoding": "gzip" } });
  assert.equal(plain.headers["content-encoding"], undefined);
  const query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const events = await h.open("GET", `${cms}?${query}&timeoutSeconds=4`, { headers: { "accept-encoding": "gzip" } });
  assert.equal(events.headers["content-encoding"], undefined, "a watch is never compressed: its events must not wait");
  let bytes = 0;
  for await (const chunk of events) bytes += (chunk as Buffer).length;
  assert.ok(bytes > 300_000, `${bytes} bytes of events`);
});

test("watch with sendInitialEvents: state, the marked bookmark, then events", async () => {
  const cms = await inNamespace("initial");
  await h.create(cms, configMap("a"));
  const events = await watch(
    `${cms}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=60`,
  );
  const added = await events.next();
  assert.equal(added.type, "ADDED");
  const mark = await events.next();
  assert.equal(mark.type, "BOOKMARK");
  assert.equal(mark.object.kind, "ConfigMap");
  assert.equal(mark.object.metadata.annotations["k8s.io/initial-events-end"], "true");
  assert.match(mark.object.metadata.resourceVersion, /^[1-9]\d*$/);
  const made = await h.call("POST", cms, { body: configMap("b") });
  assert.deepEqual((await events.next()).object, made.body);
  assert.equal((await h.call("GET", `${cms}?watch=1&sendInitialEvents=true`)).status, 422);
});

test("watch events equal the answers of the writes, in order; DELETED has the deletion's version", async () => {
  const cms = await inNamespace("order");
  const { metadata } = (await h.call("GET", cms)).body;
  const events = await watch(`${cms}?watch=true&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=60`);
  const one = (await h.call("POST", cms, { body: configMap("a", { a: "1" }) })).body;
  const two = (await h.call("PUT", `${cms}/a`, { body: configMap("a", { a: "2" }) })).body;
  await h.call("DELETE", `${cms}/a`);
  const seen = [await events.next(), await events.next(), await events.next()];
  assert.deepEqual(
    seen.map((e) => e.type),
    ["ADDED", "MODIFIED", "DELETED"],
  );
  assert.deepEqual(seen[0].object, one);
  assert.deepEqual(seen[1].object, two);
  assert.ok(Number(seen[2].object.metadata.resourceVersion) > Number(two.metadata.resourceVersion));
});

test("leaving the selector is DELETED, entering it is ADDED", async () => {
  const cms = await inNamespace("leave");
  await h.create(cms, configMap("a", {}, { labels: { on: "no" } }));
  const { metadata } = (await h.call("GET", cms)).body;
  const query = `watch=1&labelSelector=on%3Dyes&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=60`;
  const events = await watch(`${cms}?${query}`);
  const label = (on: string) =>
    h.call("PATCH", `${cms}/a`, {
      body: { metadata: { labels: { on } } },
      headers: { "content-type": "application/merge-patch+json" },
    });
  await label("yes");
  await label("no");
  assert.equal((await events.next()).type, "ADDED");
  const left = await events.next();
  assert.equal(left.type, "DELETED");
  assert.equal(left.object.metadata.labels.on, "yes");
});

test("a watch ends cleanly at timeoutSeconds", async () => {
  const events = await watch(`${CMS}?watch=1&timeoutSeconds=1&resourceVersion=0`);
  const all = await events.rest();
  assert.ok(events.ended);
  assert.ok(all.every((event) => event.type === "ADDED"));
});

test("a watch from a version that lies too far back says 410 inside the stream", async () => {
  const cms = await inNamespace("old");
  const events = await watch(`${cms}?watch=1&resourceVersion=1&timeoutSeconds=2`);
  const first = await events.next();
  // The history is whole in a young store: either everything since, or the refusal in upstream's form.
  if (first?.type === "ERROR") assert.equal(first.object.code, 410);
});

test("a watch as Table sends the columns once", async () => {
  const cms = await inNamespace("tables");
  await h.create(cms, configMap("a"));
  const stream = await h.open("GET", `${cms}?watch=1&timeoutSeconds=60`, {
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  const events = new EventReader(stream);
  const first = await events.next();
  assert.equal(first.object.kind, "Table");
  assert.equal(first.object.columnDefinitions.length, 3);
  await h.create(cms, configMap("b"));
  const second = await events.next();
  assert.equal(second.object.columnDefinitions, null);
  assert.equal(second.object.rows[0].cells[0], "b");
});

test("pods are watched by node and phase", async () => {
  await h.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  const pods = "/api/v1/namespaces/default/pods";
  await h.create(pods, pod("one", { nodeName: "n1" }));
  await h.create(pods, pod("two"));
  const names = async (selector: string) => {
    const answer = await h.call("GET", `/api/v1/pods?fieldSelector=${encodeURIComponent(selector)}`);
    return answer.body.items.map((i: Json) => i.metadata.name);
  };
  assert.deepEqual(await names("spec.nodeName=n1"), ["one"]);
  assert.deepEqual(await names("spec.nodeName="), ["two"]);
  assert.deepEqual(await names("status.phase!=Pending"), []);
});

test("many watchers of one collection see the same events in the same order, whatever else each selects", async () => {
  const cms = await inNamespace("many-watchers");
  const { resourceVersion } = (await h.call("GET", cms)).body.metadata;
  const open = (query: string) => watch(`${cms}?watch=1&resourceVersion=${resourceVersion}&timeoutSeconds=60${query}`);
  const plain = await Promise.all(Array.from({ length: 8 }, () => open("")));
  const odd = await open("&labelSelector=odd%3Dyes");
  const written = await Promise.all(
    Array.from({ length: 24 }, (_, i) =>
      h.create(cms, configMap(`m${i}`, {}, { labels: { odd: i % 2 === 1 ? "yes" : "no" } })),
    ),
  );
  const version = ({ metadata }: Json) => Number(metadata.resourceVersion);
  written.sort((a, b) => version(a) - version(b));
  const read = async (events: EventReader, count: number) => {
    const seen: Json[] = [];
    while (seen.length < count) seen.push((await events.next()).object);
    return seen;
  };
  for (const events of plain) assert.deepEqual(await read(events, written.length), written);
  const isOdd = ({ metadata }: Json) => metadata.labels.odd === "yes";
  assert.deepEqual(await read(odd, written.length / 2), written.filter(isOdd));
});

test("a watch's body is whole chunks over HTTP/1.1, so that its connection goes on, and plain lines over HTTP/1.0", async () => {
  const cms = await inNamespace("framing");
  await h.create(cms, configMap("a"));
  const talk = (text: string, isOver: (answer: string) => boolean) =>
    new Promise<string>((resolve, reject) => {
      const { ca, cert, key } = h.api.admin;
      const options = { host: "127.0.0.1", port: h.api.port, ALPNProtocols: ["http/1.1"] };
      const socket = connect({ ...options, ca: String(ca), cert: String(cert), key: String(key) }, () => {
        socket.write(text);
      });
      let answer = "";
      socket.on("data", (chunk: Buffer) => {
        answer += chunk.toString("latin1");
        if (!isOver(answer)) return;
        resolve(answer);
        socket.destroy();
      });
      socket.once("end", () => reject(new Error(`the connection ended after ${answer}`)));
      socket.once("error", reject);
    });
  const list = `${cms}?watch=1&resourceVersion=0`;
  const one = await talk(
    `GET ${list}&timeoutSeconds=1 HTTP/1.1\r\nhost: x\r\n\r\nGET /version HTTP/1.1\r\nhost: x\r\n\r\n`,
    (answer) => answer.includes('"gitVersion"'),
  );
  const end = one.indexOf("\r\n0\r\n\r\nHTTP/1.1 200");
  assert.ok(end > 0, one);
  assert.match(one, /transfer-encoding: chunked/i);
  const [, size = "", body = ""] = /\r\n\r\n([0-9a-f]+)\r\n(.*)$/s.exec(one.slice(0, end)) ?? [];
  assert.equal(body.length, Number.parseInt(size, 16));
  assert.equal(JSON.parse(body).object.metadata.name, "a");
  const old = await talk(`GET ${list}&timeoutSeconds=60 HTTP/1.0\r\nhost: x\r\n\r\n`, (answer) =>
    answer.endsWith("}\n"),
  );
  assert.equal(JSON.parse(old.slice(old.indexOf("\r\n\r\n"))).object.metadata.name, "a");
});
