/**
 * What clients rely on and no other file tests at the level of HTTP; docs/semantics.md names the test of every such fact.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, EventReader, type Json, pod, useApiserver } from "./api-harness.ts";

const h = useApiserver({
  prepare: (api) => api.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } }),
});
const NS = "/api/v1/namespaces/default";
const CMS = `${NS}/configmaps`;
const PODS = `${NS}/pods`;
const patch = (path: string, body: Json, type = "merge-patch+json") =>
  h.call("PATCH", path, { body, headers: { "content-type": `application/${type}` } });
const events = async (path: string) => new EventReader(await h.open("GET", path));

/** What etcd's own gateway is told: nobody else compacts so soon. */
async function compact(revision: number): Promise<void> {
  const response = await fetch(`${h.etcd.endpoint}/v3/kv/compaction`, {
    method: "POST",
    body: JSON.stringify({ revision: String(revision), physical: true }),
  });
  assert.equal(response.status, 200, await response.text());
}

test("1: versions are decimal, grow over all kinds, and a list's version can be watched from at once", async () => {
  const versions: number[] = [];
  const note = (object: Json) => {
    assert.match(object.metadata.resourceVersion, /^[1-9][0-9]*$/);
    versions.push(Number(object.metadata.resourceVersion));
  };
  note(await h.create(CMS, configMap("v1")));
  note(await h.create(`${NS}/secrets`, { metadata: { name: "v2" } }));
  note((await patch(`${CMS}/v1`, { data: { a: "b" } })).body);
  note(await h.create("/api/v1/nodes", { metadata: { name: "v3" } }));
  assert.deepEqual(
    versions,
    [...new Set(versions)].sort((a, b) => a - b),
  );
  const list = (await h.call("GET", CMS)).body;
  const watch = await events(`${CMS}?watch=1&resourceVersion=${list.metadata.resourceVersion}&timeoutSeconds=30`);
  await h.create(CMS, configMap("v4"));
  assert.equal((await watch.next()).object.metadata.name, "v4");
  await h.call("DELETE", `${CMS}/v4`);
  const deleted = await watch.next();
  assert.equal(deleted.type, "DELETED");
  assert.ok(Number(deleted.object.metadata.resourceVersion) > Number(list.metadata.resourceVersion) + 1);
});

test("1: bookmarks carry a version", async () => {
  const query =
    "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=30";
  const watch = await events(`${CMS}?labelSelector=none%3Dnone&${query}`);
  const bookmark = await watch.next();
  assert.equal(bookmark.type, "BOOKMARK");
  assert.match(bookmark.object.metadata.resourceVersion, /^[1-9][0-9]*$/);
  assert.deepEqual([bookmark.object.kind, bookmark.object.apiVersion], ["ConfigMap", "v1"]);
});

test("4: after a compaction a page is 410 with a token that goes on, and the list that follows has a new version", async () => {
  await h.create("/api/v1/namespaces", { metadata: { name: "paged" } });
  const path = "/api/v1/namespaces/paged/configmaps";
  for (const name of ["a", "b", "c", "d"]) await h.create(path, configMap(name));
  const first = (await h.call("GET", `${path}?limit=1`)).body;
  assert.deepEqual([first.metadata.remainingItemCount, first.items.length], [3, 1]);
  await h.call("DELETE", `${path}/b`);
  const { metadata } = await h.create(path, configMap("e"));
  await compact(Number(metadata.resourceVersion));
  const next = async (token: string) => h.call("GET", `${path}?limit=1&continue=${encodeURIComponent(token)}`);
  // The cache may still hold the first page's version: pages go on or expire, never mix.
  const second = await next(first.metadata.continue);
  if (second.status === 200) {
    assert.equal(second.body.metadata.resourceVersion, first.metadata.resourceVersion);
    assert.equal(second.body.items[0].metadata.name, "b");
    return;
  }
  assert.deepEqual([second.status, second.body.reason], [410, "Expired"]);
  const rest = await h.call("GET", `${path}?continue=${encodeURIComponent(second.body.metadata.continue)}`);
  assert.deepEqual(
    rest.body.items.map((item: Json) => item.metadata.name),
    ["c", "d", "e"],
  );
  assert.notEqual(rest.body.metadata.resourceVersion, first.metadata.resourceVersion);
});

test("6: strict decoding names unknown fields first, then duplicates, on one line", async () => {
  const body =
    '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","name":"y"},"datta":{},"data":{},"data":{}}';
  const answer = await h.call("POST", `${CMS}?fieldValidation=Strict`, { body });
  assert.equal(answer.status, 400);
  assert.match(
    answer.body.message,
    /strict decoding error: unknown field "datta", duplicate field "metadata\.name", duplicate field "data"$/,
  );
});

test("6: YAML duplicates name the line and the key", async () => {
  const body = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: yaml}\ndata:\n  a: p\n  a: q\n";
  const answer = await h.call("POST", `${CMS}?fieldValidation=Strict`, {
    body,
    headers: { "content-type": "application/yaml" },
  });
  assert.equal(answer.status, 400);
  assert.match(answer.body.message, /line 6: key "a" already set in map/);
});

test("6: server-side apply says which field the schema does not have", async () => {
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "ssa" }, dat: {} };
  const answer = await patch(`${CMS}/ssa?fieldManager=x`, body, "apply-patch+yaml");
  assert.equal(answer.status, 500);
  assert.match(answer.body.message, /\.dat: field not declared in schema/);
});

test("7: unknown RuntimeClasses are 403, tables of virtual resources 406", async () => {
  const answer = await h.call("POST", PODS, { body: pod("rc", { runtimeClassName: "none" }) });
  assert.deepEqual([answer.status, answer.body.reason], [403, "Forbidden"]);
  const review = await h.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    body: { spec: { nonResourceAttributes: { path: "/", verb: "get" } } },
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  assert.equal(review.status, 406);
});

test("8: a pod's generation grows with ephemeral containers, resize and graceful deletion, not with status", async () => {
  const spec = { nodeName: "n", containers: [{ name: "c", image: "i", resources: { requests: { cpu: "1" } } }] };
  const made = await h.create(PODS, pod("gen", spec, { generation: 7 }));
  assert.equal(made.metadata.generation, 1);
  const status = await patch(`${PODS}/gen/status`, { status: { phase: "Running" } });
  assert.equal(status.body.metadata.generation, 1);
  const debug = { spec: { ephemeralContainers: [{ name: "e", image: "i" }] } };
  assert.equal(
    (await patch(`${PODS}/gen/ephemeralcontainers`, debug, "strategic-merge-patch+json")).body.metadata.generation,
    2,
  );
  const bigger = { spec: { containers: [{ name: "c", resources: { requests: { cpu: "2" } } }] } };
  assert.equal((await patch(`${PODS}/gen/resize`, bigger, "strategic-merge-patch+json")).body.metadata.generation, 3);
  const dying = await h.call("DELETE", `${PODS}/gen`);
  assert.deepEqual([dying.body.metadata.generation, dying.body.metadata.deletionGracePeriodSeconds], [4, 30]);
});

test("9: without a policy ReplicationControllers and Jobs leave their dependents, apps/v1 deletes them", async () => {
  const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const job = { ...template, spec: { ...template.spec, restartPolicy: "Never" } };
  const kinds: [path: string, spec: Json, orphans: boolean][] = [
    [`${NS}/replicationcontrollers`, { template }, true],
    ["/apis/batch/v1/namespaces/default/jobs", { template: job }, true],
    ["/apis/apps/v1/namespaces/default/replicasets", { selector: { matchLabels: { a: "b" } }, template }, false],
  ];
  for (const [path, spec, orphans] of kinds) {
    await h.create(path, { metadata: { name: "owner" }, spec });
    const { body } = await h.call("DELETE", `${path}/owner`);
    assert.equal(body.metadata?.finalizers?.includes("orphan") ?? false, orphans, path);
  }
});

test("11: raw extensions come back with the bytes that Go wrote, as JSON and inside protobuf", async () => {
  // Keys sorted, `<`, `>` and `&` escaped: what a StatefulSet controller written in Go stores and compares.
  const data = '{"spec":{"template":{"$patch":"replace","args":["a \\u0026\\u0026 b \\u003e c"],"b":{}}}}';
  const body = `{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"raw"},"revision":1,"data":${data}}`;
  const path = "/apis/apps/v1/namespaces/default/controllerrevisions";
  assert.equal((await h.call("POST", path, { body })).status, 201);
  assert.ok((await h.call("GET", `${path}/raw`)).text.includes(`"data":${data}`));
  const headers = { accept: "application/vnd.kubernetes.protobuf" };
  assert.ok((await h.call("GET", `${path}/raw`, { headers })).text.includes(data));
  const changed = await h.call("PUT", `${path}/raw`, { body: body.replace("replace", "merge") });
  assert.deepEqual([changed.status, /data: .*field is immutable/.test(changed.body.message)], [422, true]);
});

test("12: numbers: canonical quantities, int-or-string, MicroTime with microseconds, also in the year 1", async () => {
  const resources = { requests: { cpu: "1000m", memory: "750Mi" }, limits: { cpu: 2, memory: "1024Mi" } };
  const made = await h.create(PODS, pod("numbers", { containers: [{ name: "c", image: "i", resources }] }));
  assert.deepEqual(made.spec.containers[0].resources, {
    requests: { cpu: "1", memory: "750Mi" },
    limits: { cpu: "2", memory: "1Gi" },
  });
  const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
  for (const renewTime of ["0001-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.000000Z"]) {
    const lease = await h.create(leases, { metadata: { generateName: "l-" }, spec: { renewTime } });
    assert.equal(lease.spec.renewTime, renewTime);
  }
  const service = await h.create(`${NS}/services`, {
    metadata: { name: "numbers" },
    spec: {
      ports: [
        { name: "a", port: 80, targetPort: "http" },
        { name: "b", port: 81, targetPort: 8081 },
      ],
    },
  });
  assert.deepEqual(
    service.spec.ports.map((port: Json) => port.targetPort),
    ["http", 8081],
  );
});

test("15: defaults: the namespace's label, roleRef.apiGroup, one template in Deployment and ReplicaSet", async () => {
  const namespace = await h.create("/api/v1/namespaces", { metadata: { name: "labelled", labels: { a: "b" } } });
  assert.deepEqual(namespace.metadata.labels, { a: "b", "kubernetes.io/metadata.name": "labelled" });
  const binding = await h.create("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", {
    metadata: { name: "b" },
    roleRef: { kind: "ClusterRole", name: "view" },
    subjects: [{ kind: "User", name: "u" }],
  });
  assert.equal(binding.roleRef.apiGroup, "rbac.authorization.k8s.io");
  assert.equal(binding.subjects[0].apiGroup, "rbac.authorization.k8s.io");
  const spec = {
    selector: { matchLabels: { t: "1" } },
    template: {
      metadata: { labels: { t: "1" } },
      spec: { containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] },
    },
  };
  const [deployment, replicaSet] = await Promise.all(
    ["deployments", "replicasets"].map((resource) =>
      h.create(`/apis/apps/v1/namespaces/default/${resource}`, { metadata: { name: "same" }, spec }),
    ),
  );
  assert.deepEqual(deployment.spec.template, replicaSet.spec.template);
});

test("17: what Go operators send first is understood: an apply of an object that JSON made", async () => {
  await h.create(CMS, configMap("mixed"));
  const answer = await h.call("GET", `${CMS}/mixed`, {
    headers: { accept: "application/vnd.kubernetes.protobuf, */*" },
  });
  assert.equal(answer.headers["content-type"], "application/vnd.kubernetes.protobuf");
});

test("a Scale has a table of its own, and its server-side apply owns the parent's replicas", async () => {
  const path = "/apis/apps/v1/namespaces/default/deployments";
  const spec = {
    selector: { matchLabels: { s: "1" } },
    template: { metadata: { labels: { s: "1" } }, spec: { containers: [{ name: "c", image: "i" }] } },
  };
  await h.create(path, { metadata: { name: "scaled" }, spec });
  const scale = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "scaled" }, spec: { replicas: 4 } };
  const foreign = await patch(`${path}/scaled/scale?fieldManager=hpa`, scale, "apply-patch+yaml");
  assert.deepEqual([foreign.status, /conflict with "test"/.test(foreign.body.message)], [409, true]);
  const applied = await patch(`${path}/scaled/scale?fieldManager=hpa&force=true`, scale, "apply-patch+yaml");
  assert.deepEqual([applied.status, applied.body.spec.replicas], [200, 4]);
  const parent = (await h.call("GET", `${path}/scaled`)).body;
  const owner = parent.metadata.managedFields.find((entry: Json) => entry.manager === "hpa");
  assert.deepEqual(
    [owner.operation, owner.subresource, owner.fieldsV1],
    ["Apply", "scale", { "f:spec": { "f:replicas": {} } }],
  );
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const table = (await h.call("GET", `${path}/scaled/scale`, { headers: { accept } })).body;
  assert.deepEqual(
    table.columnDefinitions.map((column: Json) => column.name),
    ["Name", "Desired", "Available", "Age"],
  );
  assert.deepEqual(table.rows[0].cells.slice(0, 3), ["scaled", 4, 0]);
});

test("a PersistentVolume notes when its phase changed", async () => {
  const spec = { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/tmp/x" } };
  const made = await h.create("/api/v1/persistentvolumes", { metadata: { name: "pv" }, spec });
  assert.match(made.status.lastPhaseTransitionTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const path = "/api/v1/persistentvolumes/pv/status";
  const named = await patch(path, { status: { phase: "Available", lastPhaseTransitionTime: "2020-01-01T00:00:00Z" } });
  assert.equal(named.body.status.lastPhaseTransitionTime, "2020-01-01T00:00:00Z");
  const carried = await patch(path, { status: { phase: "Released" } });
  assert.notEqual(carried.body.status.lastPhaseTransitionTime, "2020-01-01T00:00:00Z");
  const same = await patch(path, { status: { phase: "Released", message: "x" } });
  assert.equal(same.body.status.lastPhaseTransitionTime, carried.body.status.lastPhaseTransitionTime);
});

test("the root lists every path that leads further", async () => {
  const { paths } = (await h.call("GET", "/")).body;
  for (const path of [
    "/api/v1",
    "/apis/apps",
    "/apis/apps/v1",
    "/livez/ping",
    "/openapi/v3/apis/apps/v1",
    "/version",
  ]) {
    assert.ok(paths.includes(path), path);
  }
});

test("a dry run of every verb and subresource answers as the write would, and writes nothing", async () => {
  const dry = "dryRun=All";
  await h.create(PODS, pod("dry"));
  const before = (await h.call("GET", `${PODS}/dry`)).body;
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const spec = {
    selector: { matchLabels: { d: "1" } },
    template: { metadata: { labels: { d: "1" } }, spec: { containers: [{ name: "c", image: "i" }] } },
  };
  await h.create(deployments, { metadata: { name: "dry" }, spec });
  const generation = (await h.call("GET", `${deployments}/dry`)).body.metadata.generation;
  const answers: [name: string, status: number, answer: { status: number; text: string }][] = [
    ["create", 201, await h.call("POST", `${CMS}?${dry}`, { body: configMap("dry") })],
    [
      "update",
      200,
      await h.call("PUT", `${PODS}/dry?${dry}`, {
        body: { ...before, metadata: { ...before.metadata, labels: { a: "b" } } },
      }),
    ],
    ["patch", 200, await patch(`${PODS}/dry?${dry}`, { metadata: { labels: { a: "b" } } })],
    ["apply", 201, await patch(`${CMS}/dry?${dry}&fieldManager=x`, configMap("dry"), "apply-patch+yaml")],
    ["status", 200, await patch(`${PODS}/dry/status?${dry}`, { status: { phase: "Failed" } })],
    [
      "binding",
      201,
      await h.call("POST", `${PODS}/dry/binding?${dry}`, { body: { target: { kind: "Node", name: "n" } } }),
    ],
    ["eviction", 201, await h.call("POST", `${PODS}/dry/eviction?${dry}`, { body: { metadata: { name: "dry" } } })],
    [
      "eviction by its options",
      201,
      await h.call("POST", `${PODS}/dry/eviction`, {
        body: { metadata: { name: "dry" }, deleteOptions: { dryRun: ["All"] } },
      }),
    ],
    [
      "ephemeral containers",
      200,
      await patch(
        `${PODS}/dry/ephemeralcontainers?${dry}`,
        { spec: { ephemeralContainers: [{ name: "e", image: "i" }] } },
        "strategic-merge-patch+json",
      ),
    ],
    ["scale", 200, await patch(`${deployments}/dry/scale?${dry}`, { spec: { replicas: 9 } })],
    ["delete", 200, await h.call("DELETE", `${PODS}/dry?${dry}`)],
    ["deletecollection", 200, await h.call("DELETE", `${PODS}?${dry}`)],
  ];
  for (const [name, status, answer] of answers) assert.equal(answer.status, status, `${name}: ${answer.text}`);
  assert.deepEqual((await h.call("GET", `${PODS}/dry`)).body, before);
  assert.equal((await h.call("GET", `${CMS}/dry`)).status, 404);
  assert.equal((await h.call("GET", `${deployments}/dry`)).body.metadata.generation, generation);
});
