/** Server-side apply over HTTP: list maps, sets, atomic fields, the status manager, hand-over from client-side apply. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Json, useApiserver } from "./api-harness.ts";

const h = useApiserver();
const NS = "/api/v1/namespaces/default";
const DEPLOYS = "/apis/apps/v1/namespaces/default/deployments";

const apply = (path: string, manager: string, body: Json, force = false) =>
  h.call("PATCH", `${path}?fieldManager=${manager}${force ? "&force=true" : ""}`, {
    body,
    headers: { "content-type": "application/apply-patch+yaml" },
  });
const service = (name: string, spec: Json): Json => ({ apiVersion: "v1", kind: "Service", metadata: { name }, spec });
const deployment = (name: string, spec: Json = {}, containers: Json[] = [{ name: "c", image: "i:1" }]): Json => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    selector: { matchLabels: { a: name } },
    template: { metadata: { labels: { a: name } }, spec: { containers } },
    ...spec,
  },
});
const managersOf = (object: Json) =>
  object.metadata.managedFields.map((entry: Json) =>
    [entry.manager, entry.operation, entry.subresource ?? ""].join(" "),
  );

test("items of a list map are found by keys that the configuration leaves to their defaults", async () => {
  const ports = (targetPort: number) => [{ name: "http", port: 80, targetPort }];
  const first = await apply(`${NS}/services/ports`, "one", service("ports", { ports: ports(1) }));
  assert.equal(first.status, 201);
  const second = await apply(`${NS}/services/ports`, "one", service("ports", { ports: ports(2) }));
  assert.deepEqual(second.body.spec.ports, [{ name: "http", port: 80, protocol: "TCP", targetPort: 2 }]);
  const other = await apply(
    `${NS}/services/ports`,
    "two",
    service("ports", { ports: [{ name: "udp", port: 80, protocol: "UDP" }] }),
  );
  assert.deepEqual(other.body.spec.ports.map((port: Json) => port.protocol).sort(), ["TCP", "UDP"]);
  const gone = await apply(`${NS}/services/ports`, "two", service("ports", {}));
  assert.deepEqual(
    gone.body.spec.ports.map((port: Json) => port.name),
    ["http"],
  );
});

test("a set holds what every manager put in; each takes away its own", async () => {
  const map = (finalizers: string[]): Json => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "set", finalizers },
  });
  await apply(`${NS}/configmaps/set`, "one", map(["a.example/x", "a.example/y"]));
  const both = await apply(`${NS}/configmaps/set`, "two", map(["a.example/y", "a.example/z"]));
  assert.deepEqual(both.body.metadata.finalizers, ["a.example/x", "a.example/y", "a.example/z"]);
  const less = await apply(`${NS}/configmaps/set`, "one", map([]));
  assert.deepEqual(less.body.metadata.finalizers, ["a.example/y", "a.example/z"]);
});

test("an atomic field is owned whole: a change by another is a conflict, by force it is theirs", async () => {
  const selector = (value: string) => service("atomic", { ports: [{ port: 80 }], selector: { app: value } });
  await apply(`${NS}/services/atomic`, "one", selector("a"));
  const refused = await apply(`${NS}/services/atomic`, "two", selector("b"));
  assert.deepEqual([refused.status, refused.body.details.causes[0].field], [409, ".spec.selector"]);
  assert.match(refused.body.message, /conflict with "one": \.spec\.selector/);
  const forced = await apply(`${NS}/services/atomic`, "two", { ...selector("b") }, true);
  assert.deepEqual(forced.body.spec.selector, { app: "b" });
  const entry = forced.body.metadata.managedFields.find((one: Json) => one.manager === "one");
  assert.equal(JSON.stringify(entry?.fieldsV1 ?? {}).includes("f:selector"), false);
});

test("status has managers of its own, and applying the main resource never touches it", async () => {
  await apply(`${DEPLOYS}/status`, "one", deployment("status"));
  const status = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "status" }, status: { replicas: 3 } };
  const written = await apply(`${DEPLOYS}/status/status`, "controller", status);
  assert.deepEqual([written.status, written.body.status.replicas], [200, 3]);
  assert.deepEqual(managersOf(written.body).sort(), ["controller Apply status", "one Apply "]);
  const ignored = await apply(`${DEPLOYS}/status`, "one", { ...deployment("status"), status: { replicas: 9 } });
  assert.equal(ignored.body.status.replicas, 3);
});

test("what kubectl applied on the client is no conflict for its server-side apply, which keeps the annotation true", async () => {
  const original = deployment("handed", { minReadySeconds: 5, paused: true });
  const annotation = { "kubectl.kubernetes.io/last-applied-configuration": `${JSON.stringify(original)}\n` };
  const path = `${DEPLOYS}?fieldManager=kubectl-client-side-apply`;
  const made = await h.call("POST", path, {
    body: { ...original, metadata: { name: "handed", annotations: annotation } },
  });
  assert.equal(made.status, 201);
  const handed = await apply(`${DEPLOYS}/handed`, "kubectl", deployment("handed", { minReadySeconds: 7 }));
  assert.equal(handed.status, 200, handed.text);
  // The fields of the old manager stay until kubectl rewrites managedFields, which is the client's part of the hand-over.
  assert.deepEqual([handed.body.spec.minReadySeconds, handed.body.spec.paused], [7, true]);
  const [lastApplied] = Object.values(handed.body.metadata.annotations as Record<string, string>);
  assert.match(lastApplied ?? "", /"minReadySeconds":7/);
  const stranger = await apply(`${DEPLOYS}/handed`, "stranger", deployment("handed", { minReadySeconds: 8 }));
  assert.equal(stranger.status, 409);
});

test("an apply that changes nothing uses up no version", async () => {
  const first = await apply(`${DEPLOYS}/same`, "one", deployment("same"));
  const second = await apply(`${DEPLOYS}/same`, "one", deployment("same"));
  assert.equal(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
  assert.deepEqual(second.body.metadata.managedFields, first.body.metadata.managedFields);
});

test("a field that two managers applied alike stays until the second lets go", async () => {
  await apply(`${DEPLOYS}/shared`, "one", deployment("shared", { minReadySeconds: 3 }));
  await apply(`${DEPLOYS}/shared`, "two", deployment("shared", { minReadySeconds: 3 }));
  const first = await apply(`${DEPLOYS}/shared`, "one", deployment("shared"));
  assert.equal(first.body.spec.minReadySeconds, 3);
  const second = await apply(`${DEPLOYS}/shared`, "two", deployment("shared"));
  assert.equal(second.body.spec.minReadySeconds, undefined);
});

test("configurations that can't be: managedFields, another name, another version, duplicate items", async () => {
  const path = `${NS}/services/bad`;
  const good = service("bad", { ports: [{ port: 80 }] });
  const rows: [body: Json, status: number, message: RegExp][] = [
    [
      { ...good, metadata: { name: "bad", managedFields: [{ manager: "x" }] } },
      400,
      /metadata\.managedFields must be nil/,
    ],
    [service("other", good.spec), 400, /does not match the name on the URL/],
    [{ ...good, apiVersion: "v2" }, 400, /Incorrect version specified in apply patch/],
    [service("bad", { ports: [{ port: 80 }, { port: 80 }] }), 500, /duplicate entries for key/],
  ];
  for (const [body, status, message] of rows) {
    const answer = await apply(path, "x", body);
    assert.deepEqual([answer.status, message.test(answer.body.message)], [status, true], answer.text);
  }
});
