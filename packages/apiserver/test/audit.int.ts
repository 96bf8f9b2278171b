/** Audit policies, the log, and the webhook, as an auditor reads them. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";
import { configMap, Harness, type Json } from "./api-harness.ts";

const POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  omitManagedFields: true
  resources: [{resources: [configmaps]}]
- level: Metadata
  omitStages: [RequestReceived]
  resources: [{resources: [secrets]}]
- level: None
`;

const api = new Harness();
let dir = "";
let server: Server;
const delivered: Json[] = [];

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "knarr-audit-"));
  server = createServer((incoming, answer) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.once("end", () => {
      delivered.push(JSON.parse(Buffer.concat(chunks).toString()));
      answer.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await writeFile(join(dir, "policy.yaml"), POLICY);
  const cluster = { name: "c", cluster: { server: `http://127.0.0.1:${port}/audit` } };
  const context = { name: "x", context: { cluster: "c", user: "u" } };
  const kubeconfig = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [cluster],
    users: [{ name: "u", user: {} }],
    contexts: [context],
    "current-context": "x",
  };
  await writeFile(join(dir, "webhook.conf"), JSON.stringify(kubeconfig));
  api.etcd = await startEtcd();
  api.api = await startApiserver({
    etcd: api.etcd,
    args: [
      `--audit-policy-file=${join(dir, "policy.yaml")}`,
      `--audit-log-path=${join(dir, "audit.log")}`,
      "--audit-log-mode=blocking-strict",
      `--audit-webhook-config-file=${join(dir, "webhook.conf")}`,
      "--audit-webhook-batch-max-wait=1s",
    ],
  });
});

after(async () => {
  await api.stop();
  server?.close();
  await rm(dir, { recursive: true, force: true });
});

const log = async (): Promise<Json[]> =>
  (await readFile(join(dir, "audit.log"), "utf8"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

async function eventsOf(auditId: string, count: number): Promise<Json[]> {
  for (let i = 0; i < 1200; i++) {
    const found = (await log()).filter(({ auditID }) => auditID === auditId);
    if (found.length >= count) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`fewer than ${count} events of ${auditId}`);
}

test("RequestResponse records both bodies and every stage under the client's Audit-ID", async () => {
  const path = "/api/v1/namespaces/default/configmaps";
  const answer = await api.call("POST", path, { body: configMap("seen", { a: "1" }), headers: { "audit-id": "id-1" } });
  assert.equal(answer.headers["audit-id"], "id-1");
  const [received, complete] = await eventsOf("id-1", 2);
  assert.deepEqual([received.stage, complete.stage], ["RequestReceived", "ResponseComplete"]);
  assert.equal(received.requestObject, undefined);
  assert.equal(complete.level, "RequestResponse");
  assert.deepEqual(complete.requestObject.data, { a: "1" });
  assert.equal(complete.responseObject.metadata.uid, answer.body.metadata.uid);
  assert.equal(complete.responseObject.metadata.managedFields, undefined);
  assert.deepEqual(complete.responseStatus, { metadata: {}, code: 201 });
  assert.deepEqual(complete.objectRef, { resource: "configmaps", namespace: "default", apiVersion: "v1" });
  assert.equal(complete.user.username, "kubernetes-admin");
  assert.equal(complete.annotations["authorization.k8s.io/decision"], "allow");
});

test("a refusal is recorded with its Status, a list with its items", async () => {
  await api.call("GET", "/api/v1/namespaces/default/configmaps/none", { headers: { "audit-id": "id-2" } });
  const refused = (await eventsOf("id-2", 2))[1];
  assert.equal(refused.responseStatus.reason, "NotFound");
  assert.equal(refused.responseStatus.code, 404);
  await api.call("GET", "/api/v1/namespaces/default/configmaps", { headers: { "audit-id": "id-3" } });
  assert.ok((await eventsOf("id-3", 2))[1].responseObject.items.length > 0);
});

test("nothing of a Secret is recorded at Metadata, and nothing at all at None", async () => {
  const secret = { metadata: { name: "s" }, stringData: { password: "extremely-hushed" } };
  await api.call("POST", "/api/v1/namespaces/default/secrets", { body: secret, headers: { "audit-id": "id-4" } });
  const [only] = await eventsOf("id-4", 1);
  assert.equal(only.stage, "ResponseComplete");
  assert.equal(only.requestObject ?? only.responseObject, undefined);
  await api.call("GET", "/api/v1/namespaces/default/pods", { headers: { "audit-id": "id-5" } });
  const text = await readFile(join(dir, "audit.log"), "utf8");
  assert.ok(!text.includes("extremely-hushed") && !text.includes(Buffer.from("extremely-hushed").toString("base64")));
  assert.ok(!text.includes("id-5"));
});

test("a watch is recorded when it starts and when it ends, an impersonated user beside the real one", async () => {
  const path = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1";
  await api.call("GET", path, { headers: { "audit-id": "id-6" } });
  assert.deepEqual(
    (await eventsOf("id-6", 3)).map(({ stage }) => stage),
    ["RequestReceived", "ResponseStarted", "ResponseComplete"],
  );
  const headers = { "audit-id": "id-7", "impersonate-user": "jane" };
  await api.call("GET", "/api/v1/namespaces/default/configmaps", { headers });
  const event = (await eventsOf("id-7", 2))[1];
  assert.equal(event.user.username, "kubernetes-admin");
  assert.equal(event.impersonatedUser.username, "jane");
  assert.equal(event.annotations["authorization.k8s.io/decision"], "forbid");
});

test("the webhook gets the same events in batches", async () => {
  for (
    let i = 0;
    i < 1200 && !delivered.some(({ items }) => items.some((item: Json) => item.auditID === "id-7"));
    i++
  ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const [list] = delivered;
  assert.equal(list.kind, "EventList");
  assert.equal(list.apiVersion, "audit.k8s.io/v1");
  const ids = new Set(delivered.flatMap(({ items }) => items.map((item: Json) => item.auditID)));
  for (const id of ["id-1", "id-4", "id-6", "id-7"]) assert.ok(ids.has(id), id);
});
