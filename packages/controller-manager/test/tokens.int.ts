import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { authentication, core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager([
    "--leader-elect=false",
    "--controllers=*,bootstrap-signer-controller,tokencleaner",
    `--service-account-private-key-file=${harness.api.pki.path("sa.key")}`,
    "--resource-quota-sync-period=5s",
  ]);
});
after(() => harness.stop());

test("a Secret of a ServiceAccount gets a token that works, and goes with the account", async () => {
  const namespace = await makeNamespace(client, "tokens");
  const key = { namespace, name: "default-token" };
  const annotations = { "kubernetes.io/service-account.name": "default" };
  const type = "kubernetes.io/service-account-token";
  await client.create(core.secrets, { apiVersion: "v1", kind: "Secret", metadata: { ...key, annotations }, type });
  const data = await eventually("the token", async () => {
    const secret = await client.get(core.secrets, key);
    return secret.data?.token !== undefined && secret.data;
  });
  assert.equal(Buffer.from(data.namespace ?? "", "base64").toString(), namespace);
  const ca = Buffer.from(data["ca.crt"] ?? "", "base64").toString();
  const robot = new Client({
    server: harness.api.server,
    ca,
    token: Buffer.from(data.token ?? "", "base64").toString(),
  });
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: {} };
  const { status } = await robot.create(authentication.selfsubjectreviews, review);
  assert.equal(status?.userInfo?.username, `system:serviceaccount:${namespace}:default`);
  robot.close();
  await client.delete(core.serviceaccounts, { namespace, name: "default" });
  await eventually("the Secret is gone", () => client.get(core.secrets, key).then(() => false, isNotFound));
});

test("cluster-info is signed with each bootstrap token until the token ends and is removed", async () => {
  const type = "bootstrap.kubernetes.io/token";
  for (const namespace of ["kube-public", "kube-system"]) {
    await eventually(`the namespace ${namespace}`, () =>
      client.get(core.namespaces, { namespace: "", name: namespace }),
    );
  }
  const metadata = { namespace: "kube-public", name: "cluster-info" };
  await client.create(core.configmaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata,
    data: { kubeconfig: "config" },
  });
  const make = (id: string, expiration: string) =>
    client.create(core.secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace: "kube-system", name: `bootstrap-token-${id}` },
      type,
      stringData: { "token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", expiration },
    });
  await make("abcdef", "2126-01-01T00:00:00Z");
  await make("expird", "2020-01-01T00:00:00Z");
  const jws = await eventually(
    "the signature",
    async () => (await client.get(core.configmaps, metadata)).data?.["jws-kubeconfig-abcdef"],
  );
  const [header = "", payload, signature] = jws.split(".");
  assert.equal(payload, "");
  const input = `${header}.${Buffer.from("config").toString("base64url")}`;
  assert.equal(signature, createHmac("sha256", "0123456789abcdef").update(input).digest("base64url"));
  const expired = { namespace: "kube-system", name: "bootstrap-token-expird" };
  await eventually("the expired token is gone", () => client.get(core.secrets, expired).then(() => false, isNotFound));
});

test("a quota's status says what is used, and less when something goes or ends", async () => {
  const namespace = await makeNamespace(client, "quota");
  const quota = { namespace, name: "q" };
  const hard = { pods: "5", "requests.cpu": "2", "count/configmaps": "10", "count/deployments.apps": "3" };
  for (const name of ["a", "b"]) {
    await client.create(core.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name },
      spec: { containers: [{ name: "c", image: "i", resources: { requests: { cpu: "500m" } } }] },
    });
  }
  await client.create(core.resourcequotas, {
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: quota,
    spec: { hard },
  });
  const used = (what: string, want: object) =>
    eventually(what, async () => {
      const { status } = await client.get(core.resourcequotas, quota);
      return Object.entries(want).every(([name, value]) => status?.used?.[name] === value) && status;
    });
  const status = await used("the first count", {
    pods: "2",
    "requests.cpu": "1",
    "count/configmaps": "1",
    "count/deployments.apps": "0",
  });
  assert.deepEqual(status.hard, hard);
  await client.delete(core.pods, { namespace, name: "a" }, { gracePeriodSeconds: 0 });
  await used("one pod less", { pods: "1", "requests.cpu": "500m" });
  const body = { status: { phase: "Succeeded" } };
  await client.patch(core.pods, { namespace, name: "b" }, { type: "merge", body }, { subresource: "status" });
  await used("none runs", { pods: "0", "requests.cpu": "0" });
});
