/** Create, get, update and patch at the level of HTTP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, type Json, pod, useApiserver } from "./api-harness.ts";

const h = useApiserver({
  prepare: (harness) => harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } }),
});
const CMS = "/api/v1/namespaces/default/configmaps";
const PODS = "/api/v1/namespaces/default/pods";
const DEPLOYS = "/apis/apps/v1/namespaces/default/deployments";
const deployment = (name: string): Json => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "busybox" }] } },
  },
});

test("create answers 201 with uid, version and time, and get returns the same bytes", async () => {
  const made = await h.call("POST", CMS, { body: configMap("bytes", { a: "1" }) });
  assert.equal(made.status, 201);
  const { metadata } = made.body;
  assert.match(metadata.uid, /^[0-9a-f-]{36}$/);
  assert.match(metadata.resourceVersion, /^[1-9]\d*$/);
  assert.match(metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal((await h.call("GET", `${CMS}/bytes`)).text, made.text);
});

test("create refuses an existing name with AlreadyExists", async () => {
  await h.create(CMS, configMap("twice"));
  const again = await h.call("POST", CMS, { body: configMap("twice") });
  assert.equal(again.status, 409);
  assert.equal(again.body.reason, "AlreadyExists");
  assert.equal(again.body.message, 'configmaps "twice" already exists');
  assert.deepEqual(again.body.details, { name: "twice", kind: "configmaps" });
});

test("create makes a name from generateName", async () => {
  const made = await h.create(CMS, { metadata: { generateName: "gen-" } });
  assert.match(made.metadata.name, /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  assert.equal(made.metadata.generateName, "gen-");
});

test("create with dryRun=All stores nothing, and refuses other values", async () => {
  const tried = await h.call("POST", `${CMS}?dryRun=All`, { body: configMap("dry") });
  assert.equal(tried.status, 201);
  assert.equal(tried.body.metadata.resourceVersion, undefined);
  assert.equal((await h.call("GET", `${CMS}/dry`)).status, 404);
  const bad = await h.call("POST", `${CMS}?dryRun=some`, { body: configMap("dry") });
  assert.equal(bad.status, 422);
  assert.match(bad.body.message, /dryRun: Unsupported value: "some": supported values: "All"/);
});

test("create in a missing namespace is 404 of the namespace", async () => {
  const answer = await h.call("POST", "/api/v1/namespaces/nowhere/configmaps", { body: configMap("a") });
  assert.equal(answer.status, 404);
  assert.equal(answer.body.message, 'namespaces "nowhere" not found');
});

test("create refuses a body of another kind, version or namespace with 400", async () => {
  const bodies = [
    { ...configMap("x"), kind: "Secret" },
    { ...configMap("x"), apiVersion: "v2" },
    configMap("x", {}, { namespace: "other" }),
  ];
  for (const body of bodies) {
    const answer = await h.call("POST", CMS, { body });
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.body.reason, "BadRequest");
  }
});

test("validation names every field at once", async () => {
  const bad = pod("Bad_Name", { containers: [{ name: "c" }], restartPolicy: "Sometimes" });
  const answer = await h.call("POST", PODS, { body: bad });
  assert.equal(answer.status, 422);
  const fields = answer.body.details.causes.map((cause: Json) => cause.field);
  for (const field of ["metadata.name", "spec.containers[0].image", "spec.restartPolicy"]) {
    assert.ok(fields.includes(field), `${field} in ${fields}`);
  }
});

test("fieldValidation Strict refuses, Warn warns, Ignore says nothing about unknown and duplicate fields", async () => {
  const text = '{"metadata":{"name":"strict"},"foo":1,"data":{"a":"1","a":"2"}}';
  const strict = await h.call("POST", `${CMS}?fieldValidation=Strict`, { body: text });
  assert.equal(strict.status, 400);
  assert.equal(
    strict.body.message,
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "foo", duplicate field "data.a"',
  );
  const warned = await h.call("POST", `${CMS}?fieldValidation=Warn&dryRun=All`, { body: text });
  assert.equal(warned.status, 201);
  assert.match(String(warned.headers.warning), /299 - "unknown field \\"foo\\""/);
  const ignored = await h.call("POST", `${CMS}?fieldValidation=Ignore`, { body: text });
  assert.equal(ignored.headers.warning, undefined);
  assert.equal(ignored.body.foo, undefined);
  assert.equal(ignored.body.data.a, "2");
});

test("fieldValidation Strict finds duplicates whatever else the server fills in", async () => {
  const repeated = (times: number) => ',"data":{"a":"1"}'.repeat(times + 1);
  for (const kind of ['"kind":"ConfigMap","apiVersion":"v1",', '"kind":"ConfigMap",', ""]) {
    for (const times of [1, 2, 3]) {
      const body = `{${kind}"metadata":{"name":"repeated"}${repeated(times)}}`;
      const { status, body: answer } = await h.call("POST", `${CMS}?fieldValidation=Strict`, { body });
      assert.equal(status, 400, body);
      assert.match(answer.message, /strict decoding error: duplicate field "data"$/, body);
    }
  }
});

test("a body in YAML is read, a broken one is 400, an unknown type 415", async () => {
  const yaml = "metadata: {name: yaml}\ndata:\n  a: b\n";
  const made = await h.call("POST", CMS, { body: yaml, headers: { "content-type": "application/yaml" } });
  assert.equal(made.status, 201);
  assert.equal(made.body.data.a, "b");
  assert.equal((await h.call("POST", CMS, { body: "{" })).status, 400);
  for (const type of ["text/csv", "text/plain", "*/*", "application/x-www-form-urlencoded"]) {
    const odd = await h.call("POST", CMS, { body: "{}", headers: { "content-type": type } });
    assert.deepEqual([odd.status, odd.body.reason], [415, "UnsupportedMediaType"], type);
  }
});

test("a body beyond 3 MiB is 413", async () => {
  const answer = await h.call("POST", CMS, { body: configMap("big", { a: "x".repeat(3 * 1024 * 1024) }) });
  assert.equal(answer.status, 413);
  assert.equal(answer.body.reason, "RequestEntityTooLarge");
});

test("update with a stale version is 409 Conflict, without a version unconditional", async () => {
  const made = await h.create(CMS, configMap("guard", { a: "1" }));
  const second = await h.call("PUT", `${CMS}/guard`, { body: { ...made, data: { a: "2" } } });
  assert.equal(second.status, 200);
  assert.ok(Number(second.body.metadata.resourceVersion) > Number(made.metadata.resourceVersion));
  const stale = await h.call("PUT", `${CMS}/guard`, { body: { ...made, data: { a: "3" } } });
  assert.equal(stale.status, 409);
  assert.equal(stale.body.reason, "Conflict");
  assert.equal(
    stale.body.message,
    'Operation cannot be fulfilled on configmaps "guard": the object has been modified; ' +
      "please apply your changes to the latest version and try again",
  );
  const free = await h.call("PUT", `${CMS}/guard`, { body: configMap("guard", { a: "4" }) });
  assert.equal(free.status, 200);
  assert.equal(free.body.metadata.uid, made.metadata.uid);
});

test("update with another uid is a failed precondition", async () => {
  const made = await h.create(CMS, configMap("uid"));
  const metadata = { ...made.metadata, uid: "00000000-0000-0000-0000-000000000000" };
  const answer = await h.call("PUT", `${CMS}/uid`, { body: { ...made, metadata } });
  assert.equal(answer.status, 409);
  assert.match(answer.body.message, /Precondition failed: UID in precondition: 0+-.*, UID in object meta: /);
});

test("an update that changes nothing uses up no version", async () => {
  const made = await h.create(CMS, configMap("same", { a: "1" }));
  for (const call of [
    h.call("PUT", `${CMS}/same`, { body: made }),
    h.call("PATCH", `${CMS}/same`, {
      body: { data: { a: "1" } },
      headers: { "content-type": "application/merge-patch+json" },
    }),
  ]) {
    const answer = await call;
    assert.equal(answer.status, 200);
    assert.equal(answer.body.metadata.resourceVersion, made.metadata.resourceVersion);
  }
});

test("generation starts at 1 whatever the client sent, grows with the spec and not with status or labels", async () => {
  const made = await h.create(DEPLOYS, { ...deployment("gen"), metadata: { name: "gen", generation: 7 } });
  assert.equal(made.metadata.generation, 1);
  const patch = (body: Json, path = "") =>
    h.call("PATCH", `${DEPLOYS}/gen${path}`, { body, headers: { "content-type": "application/merge-patch+json" } });
  assert.equal((await patch({ metadata: { labels: { a: "b" } } })).body.metadata.generation, 1);
  assert.equal((await patch({ status: { observedGeneration: 1 } }, "/status")).body.metadata.generation, 1);
  assert.equal((await patch({ spec: { replicas: 3 } })).body.metadata.generation, 2);
  const status = (await patch({ spec: { replicas: 9 }, status: { observedGeneration: 2 } }, "/status")).body;
  assert.equal(status.spec.replicas, 3);
  assert.equal(status.status.observedGeneration, 2);
  const main = (await patch({ status: { observedGeneration: 5 } })).body;
  assert.equal(main.status.observedGeneration, 2);
});

test("the four patch types", async () => {
  await h.create(DEPLOYS, deployment("patch"));
  const patch = (type: string, body: unknown, query = "") =>
    h.call("PATCH", `${DEPLOYS}/patch${query}`, { body, headers: { "content-type": `application/${type}` } });
  const containers = [{ name: "side", image: "side:1" }];
  const strategic = await patch("strategic-merge-patch+json", { spec: { template: { spec: { containers } } } });
  const names = strategic.body.spec.template.spec.containers.map((c: Json) => c.name);
  assert.deepEqual(names.sort(), ["c", "side"]);
  const json = await patch("json-patch+json", [{ op: "replace", path: "/spec/replicas", value: 4 }]);
  assert.equal(json.body.spec.replicas, 4);
  const merge = await patch("merge-patch+json", { metadata: { labels: { a: "b" } } });
  assert.equal(merge.body.metadata.labels.a, "b");
  const apply = await patch(
    "apply-patch+yaml",
    { apiVersion: "apps/v1", kind: "Deployment", spec: { paused: true } },
    "?fieldManager=me",
  );
  assert.equal(apply.status, 200, apply.text);
  assert.equal(apply.body.spec.paused, true);
  const failing = await patch("json-patch+json", [{ op: "test", path: "/spec/replicas", value: 1 }]);
  // Word for word: clients tell a lost race of theirs by it.
  const { metadata: _, ...refusal } = failing.body;
  assert.deepEqual(
    [failing.status, refusal],
    [
      422,
      {
        kind: "Status",
        apiVersion: "v1",
        status: "Failure",
        message: "the server rejected our request due to an error in our request",
        reason: "Invalid",
        details: {},
        code: 422,
      },
    ],
  );
  assert.equal((await patch("json-patch+json", { op: "x" })).status, 400);
  assert.equal((await patch("json", {})).status, 415);
});

test("server-side apply creates, names conflicts, and takes fields over by force", async () => {
  const apply = (manager: string, data: Json, force = false) =>
    h.call("PATCH", `${CMS}/ssa?fieldManager=${manager}${force ? "&force=true" : ""}`, {
      body: { apiVersion: "v1", kind: "ConfigMap", data },
      headers: { "content-type": "application/apply-patch+yaml" },
    });
  assert.equal((await apply("one", { a: "1", b: "1" })).status, 201);
  const conflict = await apply("two", { a: "2" });
  assert.equal(conflict.status, 409);
  assert.equal(conflict.body.details.causes[0].reason, "FieldManagerConflict");
  assert.equal(conflict.body.details.causes[0].field, ".data.a");
  assert.equal((await apply("two", { a: "2" }, true)).body.data.a, "2");
  const removed = await apply("one", {});
  assert.deepEqual(removed.body.data, { a: "2" });
  const unknown = await h.call("PATCH", `${CMS}/ssa?fieldManager=x`, {
    body: { apiVersion: "v1", kind: "ConfigMap", foo: 1 },
    headers: { "content-type": "application/apply-patch+yaml" },
  });
  assert.equal(
    unknown.body.message,
    "failed to create typed patch object (/; /v1, Kind=ConfigMap): .foo: field not declared in schema",
  );
});

test("concurrent guarded updates lose nothing", async () => {
  await h.create(CMS, configMap("race"));
  const add = (i: number) =>
    h.call("PATCH", `${CMS}/race`, {
      body: { data: { [`k${i}`]: "v" } },
      headers: { "content-type": "application/merge-patch+json" },
    });
  await Promise.all(Array.from({ length: 30 }, (_, i) => add(i)));
  const { body } = await h.call("GET", `${CMS}/race`);
  assert.equal(Object.keys(body.data).length, 30);
});

test("integers beyond 2^53 survive", async () => {
  const text = '{"metadata":{"name":"int64"},"revision":9007199254740993,"data":{"x":9007199254740995}}';
  const path = "/apis/apps/v1/namespaces/default/controllerrevisions";
  const made = await h.call("POST", path, { body: text });
  assert.equal(made.status, 201, made.text);
  const got = await h.call("GET", `${path}/int64`);
  assert.match(got.text, /"revision":9007199254740993/);
  assert.match(got.text, /"data":\{"x":9007199254740995\}/);
});

test("immutable config maps are 422", async () => {
  await h.create(CMS, { ...configMap("frozen", { a: "1" }), immutable: true });
  const answer = await h.call("PUT", `${CMS}/frozen`, {
    body: { ...configMap("frozen", { a: "2" }), immutable: true },
  });
  assert.equal(answer.status, 422);
  assert.match(answer.body.message, /field is immutable when `immutable` is set/);
});

test("scale reads and writes replicas of the parent", async () => {
  await h.create(DEPLOYS, deployment("scale"));
  const got = await h.call("GET", `${DEPLOYS}/scale/scale`);
  assert.equal(got.body.kind, "Scale");
  assert.equal(got.body.spec.replicas, 1);
  assert.equal(got.body.status.selector, "app=scale");
  const put = await h.call("PUT", `${DEPLOYS}/scale/scale`, { body: { ...got.body, spec: { replicas: 5 } } });
  assert.equal(put.status, 200, put.text);
  assert.equal(put.body.spec.replicas, 5);
  const patched = await h.call("PATCH", `${DEPLOYS}/scale/scale`, {
    body: { spec: { replicas: 2 } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.equal(patched.body.spec.replicas, 2);
  const stale = await h.call("PUT", `${DEPLOYS}/scale/scale`, { body: got.body });
  assert.equal(stale.status, 409);
  const parent = (await h.call("GET", `${DEPLOYS}/scale`)).body;
  assert.equal(parent.spec.replicas, 2);
  assert.equal(parent.metadata.generation, 3);
});

test("binding assigns a pod to a node once", async () => {
  await h.create(PODS, pod("bind"));
  const bind = (node: string) =>
    h.call("POST", `${PODS}/bind/binding`, {
      body: { metadata: { name: "bind" }, target: { kind: "Node", name: node } },
    });
  const bound = await bind("node-1");
  assert.equal(bound.status, 201);
  assert.equal(bound.body.status, "Success");
  const { body } = await h.call("GET", `${PODS}/bind`);
  assert.equal(body.spec.nodeName, "node-1");
  assert.equal(body.status.conditions.find((c: Json) => c.type === "PodScheduled").status, "True");
  const again = await bind("node-2");
  assert.equal(again.status, 409);
  assert.match(again.body.message, /pod bind is already assigned to node "node-1"/);
});

test("a pod gets its service account, token volume, tolerations and priority", async () => {
  const made = await h.create(PODS, { ...pod("admitted"), spec: { containers: [{ name: "c", image: "busybox" }] } });
  assert.equal(made.spec.serviceAccountName, "default");
  const volume = made.spec.volumes.find((v: Json) => v.name.startsWith("kube-api-access-"));
  assert.equal(volume.projected.sources.length, 3);
  assert.equal(made.spec.containers[0].volumeMounts[0].mountPath, "/var/run/secrets/kubernetes.io/serviceaccount");
  assert.equal(made.spec.tolerations.length, 2);
  assert.equal(made.spec.priority, 0);
  const missing = await h.call("POST", PODS, { body: pod("nosa", { serviceAccountName: "ghost" }) });
  assert.equal(missing.status, 403);
  assert.match(
    missing.body.message,
    /error looking up service account default\/ghost: serviceaccount "ghost" not found/,
  );
  const critical = await h.create(PODS, pod("critical", { priorityClassName: "system-node-critical" }));
  assert.equal(critical.spec.priority, 2_000_001_000);
  const unknown = await h.call("POST", PODS, { body: pod("prio", { priorityClassName: "nope" }) });
  assert.equal(unknown.status, 403);
  assert.match(unknown.body.message, /no PriorityClass with name nope was found/);
});
