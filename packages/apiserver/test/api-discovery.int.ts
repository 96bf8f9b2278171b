/** Discovery, OpenAPI, version, health and metrics at the level of HTTP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Json, useApiserver } from "./api-harness.ts";

const h = useApiserver();
const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

test("aggregated discovery echoes g, v and as, and answers 304 to its ETag", async () => {
  for (const path of ["/api", "/apis", "/apis/"]) {
    const accept = `${AGGREGATED},application/json`;
    const answer = await h.call("GET", path, { headers: { accept } });
    assert.equal(answer.headers["content-type"], AGGREGATED);
    assert.equal(answer.body.kind, "APIGroupDiscoveryList");
    assert.equal(answer.body.apiVersion, "apidiscovery.k8s.io/v2");
    const etag = answer.headers.etag ?? "";
    assert.match(etag, /^"[0-9A-F]+"$/);
    const again = await h.call("GET", path, { headers: { accept, "if-none-match": etag } });
    assert.equal(again.status, 304);
    assert.equal(again.text, "");
  }
});

test("aggregated discovery lists resources with kinds, scopes, verbs and subresources", async () => {
  const { body } = await h.call("GET", "/api", { headers: { accept: AGGREGATED } });
  const pods = body.items[0].versions[0].resources.find((r: Json) => r.resource === "pods");
  assert.deepEqual(pods.responseKind, { group: "", version: "v1", kind: "Pod" });
  assert.equal(pods.scope, "Namespaced");
  assert.deepEqual(pods.shortNames, ["po"]);
  assert.ok(pods.verbs.includes("watch"));
  const names = pods.subresources.map((s: Json) => s.subresource);
  for (const name of ["status", "log", "exec", "binding", "eviction", "portforward"])
    assert.ok(names.includes(name), name);
});

test("legacy discovery: versions, groups, resources", async () => {
  assert.deepEqual((await h.call("GET", "/api")).body.versions, ["v1"]);
  const groups = (await h.call("GET", "/apis")).body.groups;
  assert.ok(groups.some((g: Json) => g.name === "apps" && g.preferredVersion.groupVersion === "apps/v1"));
  const autoscaling = (await h.call("GET", "/apis/autoscaling")).body;
  assert.equal(autoscaling.preferredVersion.version, "v2");
  const core = (await h.call("GET", "/api/v1")).body;
  assert.equal(core.groupVersion, "v1");
  assert.ok(core.resources.some((r: Json) => r.name === "pods/status" && r.kind === "Pod"));
  assert.equal((await h.call("GET", "/apis/nothing.example.com/v1")).status, 404);
});

test("/openapi/v3 has hashed links, parameters and extensions; old hashes lead to the new one", async () => {
  const index = (await h.call("GET", "/openapi/v3")).body;
  const link = index.paths["apis/apps/v1"].serverRelativeURL;
  assert.match(link, /^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]+$/);
  const answer = await h.call("GET", link);
  assert.ok(answer.headers.etag);
  const operation = answer.body.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"].patch;
  assert.deepEqual(operation["x-kubernetes-group-version-kind"], { group: "apps", version: "v1", kind: "Deployment" });
  const names = operation.parameters.map((p: Json) => p.name);
  for (const name of ["dryRun", "fieldManager", "fieldValidation", "force"]) assert.ok(names.includes(name), name);
  const { schemas } = answer.body.components;
  const spec = schemas["io.k8s.api.core.v1.PodSpec"].properties.containers;
  assert.equal(spec["x-kubernetes-patch-merge-key"], "name");
  assert.equal(spec["x-kubernetes-list-type"], "map");
  // Every reference leads somewhere.
  for (const [, ref = ""] of answer.text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
    assert.ok(schemas[ref] !== undefined, ref);
  }
  const old = await h.call("GET", "/openapi/v3/apis/apps/v1?hash=00");
  assert.equal(old.status, 301);
});

test("/openapi/v2 and v3 describe what people ask for most, for kubectl explain", async () => {
  const v2 = (await h.call("GET", "/openapi/v2", { headers: { accept: "application/json" } })).body.definitions;
  const v3 = (await h.call("GET", "/openapi/v3/api/v1")).body.components.schemas;
  for (const schemas of [v2, v3]) {
    const { description, properties } = schemas["io.k8s.api.core.v1.Pod"];
    assert.match(description, /Containers that run together/);
    for (const field of ["apiVersion", "kind", "metadata", "spec", "status"]) {
      assert.match(properties[field].description, /\w/, field);
    }
    assert.match(schemas["io.k8s.api.core.v1.PodSpec"].properties.nodeName.description, /node that the pod runs on/);
  }
});

test("/openapi/v2 is JSON or protobuf, with a quoted ETag", async () => {
  const json = await h.call("GET", "/openapi/v2", { headers: { accept: "application/json" } });
  assert.equal(json.body.swagger, "2.0");
  for (const [, ref = ""] of json.text.matchAll(/"\$ref":"#\/definitions\/([^"]+)"/g)) {
    assert.ok(json.body.definitions[ref] !== undefined, ref);
  }
  const etag = json.headers.etag ?? "";
  assert.match(etag, /^".+"$/);
  const headers = { accept: "application/json", "if-none-match": etag };
  assert.equal((await h.call("GET", "/openapi/v2", { headers })).status, 304);
  const pb = await h.call("GET", "/openapi/v2", {
    headers: { accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" },
  });
  assert.equal(pb.status, 200);
  assert.ok(pb.text.includes("io.k8s.api.core.v1.Pod"));
});

const V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
/** As client-go asks for it. */
const V3_PROTOBUF_AT = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

test("/openapi/v3 documents are JSON or protobuf, whichever the client likes best; others get 406", async () => {
  const rows: readonly [accept: string, want: string][] = [
    [V3_PROTOBUF, V3_PROTOBUF],
    [V3_PROTOBUF_AT, V3_PROTOBUF],
    [`${V3_PROTOBUF_AT}, application/json`, V3_PROTOBUF],
    [`application/json, ${V3_PROTOBUF_AT}`, "application/json"],
    [`application/json;q=0.8, ${V3_PROTOBUF};q=0.9`, V3_PROTOBUF],
    [`application/xml, ${V3_PROTOBUF_AT};q=0.5`, V3_PROTOBUF],
    [`application/vnd.kubernetes.protobuf, */*`, "application/json"],
    ["application/*", "application/json"],
    ["", "application/json"],
  ];
  for (const [accept, want] of rows) {
    const answer = await h.call("GET", "/openapi/v3/apis/apps/v1", { headers: { accept } });
    assert.deepEqual([answer.status, answer.headers["content-type"]], [200, want], accept);
    if (want === V3_PROTOBUF) assert.ok(answer.text.startsWith("\n\x053.0.0"), accept);
    else assert.equal(answer.body.openapi, "3.0.0", accept);
  }
  const v2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  for (const accept of ["application/xml", "application/vnd.kubernetes.protobuf", v2]) {
    assert.equal((await h.call("GET", "/openapi/v3/apis/apps/v1", { headers: { accept } })).status, 406, accept);
  }
  const index = await h.call("GET", "/openapi/v3", { headers: { accept: V3_PROTOBUF } });
  assert.equal(index.headers["content-type"], "application/json");
  const missing = await h.call("GET", "/openapi/v3/apis/nothing/v1", { headers: { accept: V3_PROTOBUF } });
  assert.equal(missing.status, 404);
});

test("/openapi/v3 as protobuf is cached like JSON, and apart from it", async () => {
  const link = (await h.call("GET", "/openapi/v3")).body.paths["api/v1"].serverRelativeURL;
  const etags = new Set<string>();
  for (const accept of ["application/json", V3_PROTOBUF_AT]) {
    // Large enough to be compressed: Accept must still count for caches.
    const whole = await h.call("GET", link, { headers: { accept, "accept-encoding": "gzip" } });
    assert.equal(whole.headers["content-encoding"], "gzip");
    assert.equal(whole.headers.vary, "Accept, Accept-Encoding");
    assert.equal(whole.headers["cache-control"], "public, immutable");
    assert.ok(Date.parse(whole.headers.expires ?? "") > Date.now(), "expires later");
    const { etag = "" } = whole.headers;
    etags.add(etag);
    const again = await h.call("GET", link, { headers: { accept, "if-none-match": etag } });
    assert.deepEqual([again.status, again.text, again.headers.etag], [304, "", etag]);
    assert.equal(again.headers["cache-control"], "public, immutable");
    const bare = await h.call("GET", "/openapi/v3/api/v1", { headers: { accept } });
    assert.deepEqual([bare.headers.etag, bare.headers.expires, bare.headers.vary], [etag, undefined, "Accept"]);
    const old = await h.call("GET", "/openapi/v3/api/v1?hash=00", { headers: { accept } });
    assert.deepEqual([old.status, old.headers.location], [301, link]);
  }
  assert.equal(etags.size, 2);
});

test("/version, health checks by name, metrics", async () => {
  const version = (await h.call("GET", "/version")).body;
  assert.equal(`${version.major}.${version.minor}`, "1.36");
  for (const path of ["/livez", "/readyz", "/healthz"]) {
    const plain = await h.call("GET", path);
    assert.equal(plain.text, "ok");
    assert.match((await h.call("GET", `${path}?verbose`)).text, /^\[\+\]ping ok$/m);
  }
  assert.equal((await h.call("GET", "/readyz/etcd")).text, "ok");
  assert.equal((await h.call("GET", "/readyz/nothing")).status, 404);
  await h.call("GET", "/api/v1/namespaces");
  const metrics = (await h.call("GET", "/metrics")).text;
  assert.match(metrics, /apiserver_request_total\{verb="LIST",[^}]*resource="namespaces"[^}]*code="200"\} \d+/);
  assert.match(metrics, /apiserver_request_duration_seconds_bucket/);
});

test("readyz fails and says so while etcd is away", async () => {
  h.etcd.signal("SIGSTOP");
  const answer = await h.call("GET", "/readyz?verbose");
  h.etcd.signal("SIGCONT");
  assert.equal(answer.status, 500);
  assert.match(answer.text, /^\[-\]etcd failed/m);
});

test("/openapi/v2 names operations as upstream does, so that generated clients have the classes and methods of known ones", async () => {
  const { paths } = (await h.call("GET", "/openapi/v2", { headers: { accept: "application/json" } })).body;
  const pods = "/api/v1/namespaces/{namespace}/pods";
  const roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
  const rows: readonly [string, string, string, string][] = [
    [pods, "get", "listCoreV1NamespacedPod", "core_v1"],
    [pods, "delete", "deleteCoreV1CollectionNamespacedPod", "core_v1"],
    [`${pods}/{name}/status`, "put", "replaceCoreV1NamespacedPodStatus", "core_v1"],
    [`${pods}/{name}/log`, "get", "readCoreV1NamespacedPodLog", "core_v1"],
    [`${pods}/{name}/exec`, "post", "connectCoreV1PostNamespacedPodExec", "core_v1"],
    ["/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "core_v1"],
    [roles, "post", "createRbacAuthorizationV1ClusterRole", "rbacAuthorization_v1"],
    ["/api/", "get", "getCoreAPIVersions", "core"],
    ["/apis/", "get", "getAPIVersions", "apis"],
    ["/apis/apps/", "get", "getAppsAPIGroup", "apps"],
    ["/apis/apps/v1/", "get", "getAppsV1APIResources", "apps_v1"],
  ];
  for (const [path, method, id, tag] of rows) {
    const operation = paths[path]?.[method];
    assert.deepEqual([operation?.operationId, operation?.tags], [id, [tag]], `${method} ${path}`);
  }
  const exec = paths[`${pods}/{name}/exec`].post;
  assert.equal(exec["x-kubernetes-action"], "connect");
  assert.ok(exec.parameters.some((one: Json) => one.name === "stdin" && one.type === "boolean"));
  const ids = Object.values(paths).flatMap((item) =>
    Object.values(item as Record<string, Json>).flatMap((operation) => operation.operationId ?? []),
  );
  assert.equal(new Set(ids).size, ids.length, "each id once");
});

/** All references of a document that lead nowhere. */
function dangling(document: Json): string[] {
  const found: string[] = [];
  const visit = (value: Json) => {
    if (value === null || typeof value !== "object") return;
    if (typeof value.$ref === "string") {
      const parts = value.$ref.slice(2).split("/");
      if (parts.reduce((at: Json, part: string) => at?.[part], document) === undefined) found.push(value.$ref);
    }
    Object.values(value).forEach(visit);
  };
  visit(document);
  return found;
}

test("each document of /openapi/v3 and /openapi/v2 is whole: references lead somewhere, paths declare what they name", async () => {
  const { paths: index } = (await h.call("GET", "/openapi/v3")).body;
  for (const name of ["version", "api", "apis", "apis/apps", "openid/v1/jwks", ".well-known/openid-configuration"]) {
    assert.ok(name in index, name);
  }
  const links = Object.values(index).map((one) => (one as { serverRelativeURL: string }).serverRelativeURL);
  const accept = "application/json";
  for (const link of ["/openapi/v2", ...links]) {
    const document = (await h.call("GET", link, { headers: { accept } })).body;
    assert.deepEqual(dangling(document), [], link);
    for (const [path, item] of Object.entries<Json>(document.paths)) {
      const declared = (item.parameters ?? []).filter((one: Json) => one.in === "path").map((one: Json) => one.name);
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, one]) => one);
      assert.deepEqual(declared.sort(), named.sort(), `${link} ${path}`);
    }
  }
});

test("/openapi tells what a client gets: streams, the object that a delete returns, proxies with a path", async () => {
  const { paths } = (await h.call("GET", "/openapi/v3/api/v1")).body;
  const schemaOf = (path: string, method: string, code: string) =>
    paths[path][method].responses[code].content["application/json"].schema.$ref.split(".").at(-1);
  const item = "/api/v1/namespaces/{namespace}/pods/{name}";
  assert.equal(schemaOf(item, "delete", "200"), "Pod");
  assert.equal(schemaOf(item, "delete", "202"), "Pod");
  assert.equal(schemaOf("/api/v1/namespaces/{namespace}/configmaps/{name}", "delete", "200"), "Status");
  const list = paths["/api/v1/namespaces/{namespace}/pods"].get.responses["200"].content;
  assert.deepEqual(Object.keys(list), [
    "application/json",
    "application/vnd.kubernetes.protobuf",
    "application/yaml",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
  ]);
  const proxy = paths[`${item}/proxy/{path}`];
  assert.equal(proxy.options.operationId, "connectCoreV1OptionsNamespacedPodProxyWithPath");
  const watch = paths["/api/v1/watch/namespaces/{namespace}/pods"].get;
  assert.deepEqual([watch.operationId, watch["x-kubernetes-action"]], ["watchCoreV1NamespacedPodList", "watchlist"]);
  assert.equal(paths["/api/v1/watch/nodes/{name}"].get.operationId, "watchCoreV1Node");
  assert.equal(paths["/api/v1/watch/pods"].get.operationId, "watchCoreV1PodListForAllNamespaces");
});

test("discovery is served as protobuf and YAML too", async () => {
  for (const path of ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"]) {
    for (const accept of ["application/vnd.kubernetes.protobuf", "application/yaml"]) {
      const answer = await h.call("GET", path, { headers: { accept } });
      assert.deepEqual([answer.status, answer.headers["content-type"]], [200, accept], path);
    }
  }
});
