/** Who gets in, who may do what, and what is written down about it. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configMap, type Json, pod, useApiserver } from "./api-harness.ts";

const h = useApiserver({
  prepare: (harness) => harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } }),
});
/** A P-256 request for CN=zoe. */
const REQUEST_PEM = `-----BEGIN CERTIFICATE REQUEST-----
MIHIMHACAQAwDjEMMAoGA1UEAwwDem9lMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEBI+oUbi2dfrXnDCRnySprfNnxrZ8+AAwhTKNBiMpa/fa6v3dKD/CI1XekNWy
gi2lsP2eP/tQouH0BW8z4WKCO6AAMAoGCCqGSM49BAMCA0gAMEUCIQDETuGLv01l
O0O1U+NLFGRsfPmua5RSJnNMV71OdEE2YAIgW0h96ZjAnEA2FjrWoRNlRHa9tlFO
+AlssJYNRdzu3iI=
-----END CERTIFICATE REQUEST-----
`;
const RBAC = "/apis/rbac.authorization.k8s.io/v1";

test("no credentials are system:anonymous: discovery of health is open, the rest is 403", async () => {
  assert.equal((await h.call("GET", "/healthz", { anonymous: true })).status, 200);
  const answer = await h.call("GET", "/api/v1/pods", { anonymous: true });
  assert.equal(answer.status, 403);
  assert.equal(
    answer.body.message,
    'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
  );
  assert.equal(answer.body.reason, "Forbidden");
  const path = await h.call("GET", "/metrics", { anonymous: true });
  assert.equal(path.body.message, 'forbidden: User "system:anonymous" cannot get path "/metrics"');
});

test("wrong credentials are 401", async () => {
  const answer = await h.call("GET", "/api/v1/pods", {
    anonymous: true,
    headers: { authorization: "Bearer nonsense" },
  });
  assert.equal(answer.status, 401);
  assert.equal(answer.body.message, "Unauthorized");
  assert.equal(answer.body.reason, "Unauthorized");
});

test("a user gets what roles grant, in upstream's words otherwise", async () => {
  const bob = await h.api.user("bob");
  const list = () => h.call("GET", "/api/v1/namespaces/default/configmaps", { as: bob });
  const refused = await list();
  assert.equal(refused.status, 403);
  assert.equal(
    refused.body.message,
    'configmaps is forbidden: User "bob" cannot list resource "configmaps" in API group "" in the namespace "default"',
  );
  await h.create(`${RBAC}/namespaces/default/rolebindings`, {
    metadata: { name: "bob-views" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
    subjects: [{ kind: "User", name: "bob", apiGroup: "rbac.authorization.k8s.io" }],
  });
  assert.equal((await list()).status, 200);
  const create = await h.call("POST", "/api/v1/namespaces/default/configmaps", { as: bob, body: configMap("x") });
  assert.equal(create.status, 403);
});

test("nobody grants more than they hold", async () => {
  const eve = await h.api.user("eve");
  await h.create(`${RBAC}/namespaces/default/rolebindings`, {
    metadata: { name: "eve-admin" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "admin" },
    subjects: [{ kind: "User", name: "eve", apiGroup: "rbac.authorization.k8s.io" }],
  });
  const role = (rules: Json) => ({ metadata: { name: `r${rules[0].resources[0].length}` }, rules });
  const fine = await h.call("POST", `${RBAC}/namespaces/default/roles`, {
    as: eve,
    body: role([{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }]),
  });
  assert.equal(fine.status, 201, fine.text);
  const more = await h.call("POST", `${RBAC}/namespaces/default/roles`, {
    as: eve,
    body: role([{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }]),
  });
  assert.equal(more.status, 403);
  assert.match(more.body.message, /is attempting to grant RBAC permissions not currently held/);
});

test("ServiceAccount tokens are issued, accepted, reviewed, and bound to their pod", async () => {
  const account = "/api/v1/namespaces/default/serviceaccounts/default";
  const made = await h.create("/api/v1/namespaces/default/pods", pod("bound"));
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "bound", uid: made.metadata.uid };
  const issued = await h.create(`${account}/token`, { spec: { boundObjectRef, expirationSeconds: 600 } });
  const { token } = issued.status;
  const headers = { authorization: `Bearer ${token}` };
  const answer = await h.call("GET", "/api/v1/namespaces/default/pods", { anonymous: true, headers });
  assert.match(answer.body.message, /User "system:serviceaccount:default:default" cannot list/);
  const review = await h.create("/apis/authentication.k8s.io/v1/tokenreviews", { spec: { token } });
  assert.equal(review.status.authenticated, true);
  assert.equal(review.status.user.username, "system:serviceaccount:default:default");
  await h.call("DELETE", "/api/v1/namespaces/default/pods/bound?gracePeriodSeconds=0");
  const after = await h.call("GET", "/api/v1/namespaces/default/pods", { anonymous: true, headers });
  assert.equal(after.status, 401);
});

test("reviews have no table, and tell what others may do", async () => {
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const body = { spec: { resourceAttributes: { verb: "get", resource: "pods" } } };
  assert.equal((await h.call("POST", path, { body })).body.status.allowed, true);
  const table = await h.call("POST", path, {
    body,
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  assert.equal(table.status, 406);
});

test("impersonation takes the right, and then acts as the other", async () => {
  const asBob = { "impersonate-user": "carol", "impersonate-group": "devs" };
  const who = await h.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", { body: {}, headers: asBob });
  assert.equal(who.body.status.userInfo.username, "carol");
  assert.deepEqual(who.body.status.userInfo.groups, ["devs", "system:authenticated"]);
  const dave = await h.api.user("dave");
  const refused = await h.call("GET", "/api/v1/pods", { as: dave, headers: asBob });
  assert.equal(refused.status, 403);
  assert.match(refused.body.message, /users "carol" is forbidden: User "dave" cannot impersonate resource "users"/);
});

test("a kubelet changes only its own node", async () => {
  const n1 = await h.api.user("system:node:n1", ["system:nodes"]);
  const own = await h.call("POST", "/api/v1/nodes", { as: n1, body: { metadata: { name: "n1" } } });
  assert.equal(own.status, 201, own.text);
  assert.equal(own.body.spec.taints[0].key, "node.kubernetes.io/not-ready");
  const other = await h.call("POST", "/api/v1/nodes", { as: n1, body: { metadata: { name: "n2" } } });
  assert.equal(other.status, 403);
  const label = await h.call("PATCH", "/api/v1/nodes/n1", {
    as: n1,
    body: { metadata: { labels: { "node-restriction.kubernetes.io/x": "y" } } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.equal(label.status, 403);
  const plain = await h.call("POST", "/api/v1/namespaces/default/pods", { as: n1, body: pod("x", { nodeName: "n1" }) });
  assert.equal(plain.status, 403);
});

test("the audit log has a line per request and nothing secret", async () => {
  await h.create("/api/v1/namespaces/default/secrets", { metadata: { name: "hush" }, stringData: { p: "topsecret" } });
  const marked = await h.call("GET", "/api/v1/namespaces/default/secrets/hush", {
    headers: { "audit-id": "my-audit-id" },
  });
  assert.equal(marked.headers["audit-id"], "my-audit-id");
  const read = async () => await readFile(`${h.api.dir}/audit.log`, "utf8");
  for (const deadline = Date.now() + 60_000; !(await read()).includes("my-audit-id"); await sleep(20)) {
    assert.ok(Date.now() < deadline, "the request is not in the log");
  }
  const text = await read();
  assert.ok(!text.includes("topsecret") && !text.includes(Buffer.from("topsecret").toString("base64")));
  const event = text
    .split("\n")
    .map((line) => (line === "" ? {} : JSON.parse(line)) as Json)
    .find((e) => e.auditID === "my-audit-id");
  assert.equal(event.level, "Metadata");
  assert.equal(event.verb, "get");
  assert.equal(event.user.username, "kubernetes-admin");
  assert.deepEqual(event.objectRef, { resource: "secrets", namespace: "default", name: "hush", apiVersion: "v1" });
  assert.equal(event.responseStatus.code, 200);
});

test("a certificate signing request says who asked, whatever it claims; approving takes the right for the signer", async () => {
  const zoe = await h.api.user("zoe", ["devs"]);
  await h.create(`${RBAC}/clusterroles`, {
    metadata: { name: "ask" },
    rules: [
      { verbs: ["create", "get"], apiGroups: ["certificates.k8s.io"], resources: ["certificatesigningrequests"] },
      { verbs: ["update"], apiGroups: ["certificates.k8s.io"], resources: ["certificatesigningrequests/approval"] },
    ],
  });
  await h.create(`${RBAC}/clusterrolebindings`, {
    metadata: { name: "ask" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "ask" },
    subjects: [{ kind: "User", name: "zoe", apiGroup: "rbac.authorization.k8s.io" }],
  });
  const CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const request = Buffer.from(REQUEST_PEM).toString("base64");
  const spec = {
    request,
    signerName: "kubernetes.io/kube-apiserver-client",
    usages: ["client auth"],
    username: "admin",
  };
  const made = await h.call("POST", CSRS, { as: zoe, body: { metadata: { name: "zoe" }, spec } });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.body.spec.username, "zoe");
  assert.ok(made.body.spec.groups.includes("devs"));
  const conditions = [{ type: "Approved", status: "True", reason: "Test", message: "" }];
  const refused = await h.call("PUT", `${CSRS}/zoe/approval`, {
    as: zoe,
    body: { ...made.body, status: { conditions } },
  });
  assert.equal(refused.status, 403);
  assert.match(
    refused.body.message,
    /user not permitted to approve requests with signerName "kubernetes\.io\/kube-apiserver-client"/,
  );
  const approved = await h.call("PUT", `${CSRS}/zoe/approval`, { body: { ...made.body, status: { conditions } } });
  assert.equal(approved.status, 200, approved.text);
  assert.equal(approved.body.status.conditions[0].type, "Approved");
});
