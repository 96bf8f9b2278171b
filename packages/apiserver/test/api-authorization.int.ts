/** The authorizers of an AuthorizationConfiguration, a webhook first, over HTTPS against a real API server. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { TestPki } from "@knarr/testkit/test-pki.ts";
import { type Json, pod, useApiserver } from "./api-harness.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-authorization-"));
const pki = await TestPki.create(join(dir, "outside"), { commonName: "outside" });
const serving = await pki.issue("serving", { commonName: "localhost", ipAddresses: ["127.0.0.1"] });
const asked: Json[] = [];
const webhook = createServer({ cert: serving.cert, key: serving.key }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const review = JSON.parse(Buffer.concat(chunks).toString());
    asked.push(review.spec);
    const verdicts: Record<string, Json> = {
      hooked: { allowed: true, reason: "the webhook likes them" },
      banned: { allowed: false, denied: true, reason: "the webhook has banned them" },
    };
    const status = verdicts[review.spec.user] ?? { allowed: false, reason: "never heard of them" };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ ...review, status }));
  });
});
await new Promise<void>((resolve) => webhook.listen(0, "127.0.0.1", resolve));
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const kubeconfig = file(
  "webhook.conf",
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: "w",
        cluster: {
          server: `https://127.0.0.1:${(webhook.address() as AddressInfo).port}`,
          "certificate-authority": pki.path("ca.crt"),
        },
      },
    ],
    users: [{ name: "w", user: {} }],
    contexts: [{ name: "w", context: { cluster: "w", user: "w" } }],
    "current-context": "w",
  }),
);
const configuration = file(
  "authorization.yaml",
  `apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: outside
  webhook:
    timeout: 3s
    authorizedTTL: 1m
    unauthorizedTTL: 1m
    subjectAccessReviewVersion: v1
    failurePolicy: NoOpinion
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: ${kubeconfig}}
- {type: Node, name: node}
- {type: RBAC, name: rbac}
`,
);
after(() => {
  webhook.close();
  rmSync(dir, { recursive: true, force: true });
});
const h = useApiserver({
  authorizationMode: "AlwaysAllow",
  args: [`--authorization-config=${configuration}`],
  prepare: (harness) => harness.create("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } }),
});
const LIST = "/api/v1/namespaces/default/configmaps";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const GRANT = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" };

test("the webhook's yes is a yes, its no is a no, and without opinion the next is asked", async () => {
  const [hooked, banned, viewer] = [await h.api.user("hooked"), await h.api.user("banned"), await h.api.user("viewer")];
  const subjects = ["banned", "viewer"].map((name) => ({ kind: "User", name, apiGroup: GRANT.apiGroup }));
  await h.create(`${RBAC}/namespaces/default/rolebindings`, { metadata: { name: "views" }, roleRef: GRANT, subjects });
  assert.equal((await h.call("GET", LIST, { as: hooked })).status, 200);
  assert.equal((await h.call("GET", LIST, { as: viewer })).status, 200);
  const refused = await h.call("GET", LIST, { as: banned });
  assert.equal(refused.status, 403);
  assert.equal(
    refused.body.message,
    'configmaps is forbidden: User "banned" cannot list resource "configmaps" in API group "" in the namespace "default": the webhook has banned them',
  );
  assert.ok(asked.some((spec) => spec.user === "viewer" && spec.resourceAttributes.resource === "configmaps"));
  assert.ok(
    asked.every((spec) => spec.user !== "kubernetes-admin"),
    "nobody is asked about system:masters",
  );
});

test("access reviews ask the same, with reasons", async () => {
  const review = async (user: string) => {
    const spec = { user, resourceAttributes: { verb: "get", resource: "pods", namespace: "default" } };
    return (await h.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", { spec })).status;
  };
  assert.deepEqual(await review("hooked"), { allowed: true, reason: "the webhook likes them" });
  assert.deepEqual(await review("banned"), { allowed: false, denied: true, reason: "the webhook has banned them" });
  assert.deepEqual(await review("viewer"), {
    allowed: true,
    reason: 'RBAC: allowed by RoleBinding "views/default" of ClusterRole "view" to User "viewer"',
  });
  const viewer = await h.api.user("viewer");
  const path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
  const rules = await h.call("POST", path, { as: viewer, body: { spec: { namespace: "default" } } });
  assert.equal(rules.body.status.incomplete, true);
  assert.match(rules.body.status.evaluationError, /webhook authorizer does not support user rule resolution/);
});

test("a kubelet reads the Secrets of its own pods, and no others", async () => {
  const kubelet = await h.api.user("system:node:n1", ["system:nodes"]);
  for (const name of ["mine", "theirs"]) {
    await h.create("/api/v1/namespaces/default/secrets", { metadata: { name } });
    const volumes = [{ name: "s", secret: { secretName: name } }];
    await h.create("/api/v1/namespaces/default/pods", pod(name, { nodeName: name === "mine" ? "n1" : "n2", volumes }));
  }
  const read = (name: string) => h.call("GET", `/api/v1/namespaces/default/secrets/${name}`, { as: kubelet });
  assert.equal((await read("mine")).status, 200);
  const refused = await read("theirs");
  assert.equal(refused.status, 403);
  assert.match(refused.body.message, /no relationship found between node 'n1' and this object/);
  assert.equal((await h.call("GET", "/api/v1/namespaces/default/secrets", { as: kubelet })).status, 403);
});
