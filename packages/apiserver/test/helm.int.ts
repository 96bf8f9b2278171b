/** Unmodified Helm: a chart is installed, upgraded, rolled back and uninstalled; what it did is looked at through the API. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { useApiserver } from "./api-harness.ts";

const run = promisify(execFile);
const h = useApiserver();
const chart = fileURLToPath(new URL("../../../test/charts/shop", import.meta.url));
const helm = ["/usr/local/lib/knarr/bin", ...(process.env.PATH ?? "").split(delimiter)]
  .map((dir) => join(dir, "helm"))
  .find((path) => existsSync(path));
// scripts/install-deps --test brings it; on CI its absence is a failure.
const skip =
  helm !== undefined || process.env.CI !== undefined ? false : "no helm; scripts/install-deps --test brings it";

async function helmRun(...args: string[]): Promise<string> {
  assert.ok(helm, "helm is installed");
  const home = join(h.api.dir, "helm");
  const env = {
    ...process.env,
    KUBECONFIG: h.api.kubeconfig,
    HELM_CACHE_HOME: home,
    HELM_CONFIG_HOME: home,
    HELM_DATA_HOME: home,
  };
  const { stdout } = await run(helm, args, { env, timeout: 120_000 });
  return stdout;
}

const NS = "/api/v1/namespaces/shop";
const get = async (path: string) => (await h.call("GET", path)).body;
const deployment = "/apis/apps/v1/namespaces/shop/deployments/one";
const hpa = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/one";

test("helm installs a chart with hooks, lists it and tells its status", { skip }, async () => {
  const text = await helmRun("install", "one", chart, "-n", "shop", "--create-namespace");
  assert.match(text, /STATUS: deployed/);
  assert.match(text, /one says hello\./);
  assert.match(await helmRun("list", "-n", "shop"), /one\s+shop\s+1\s.*deployed\s+shop-0\.1\.0/);
  assert.equal((await get(deployment)).spec.replicas, 2);
  assert.equal((await get(`${NS}/configmaps/one-hook`)).data.revision, "1");
  assert.equal((await get(`${NS}/secrets/one`)).data.password, Buffer.from("secret").toString("base64"));
  assert.equal((await get(`${NS}/secrets/sh.helm.release.v1.one.v1`)).type, "helm.sh/release.v1");
  assert.match(await helmRun("get", "manifest", "one", "-n", "shop"), /kind: PodDisruptionBudget/);
});

test("helm upgrades with new values: what is new is made, what is gone is removed, the rest is changed in place", {
  skip,
}, async () => {
  const before = await get(deployment);
  const service = await get(`${NS}/services/one`);
  const values =
    "settings.greeting=bye,service.type=NodePort,autoscaling.enabled=true,ingress.enabled=false,image.tag=2";
  assert.match(await helmRun("upgrade", "one", chart, "-n", "shop", "--set", values), /REVISION: 2/);
  const after = await get(deployment);
  assert.equal(after.metadata.uid, before.metadata.uid);
  assert.equal(after.spec.template.spec.containers[0].image, "busybox:2");
  assert.equal((await get(`${NS}/configmaps/one`)).data.greeting, "bye");
  const exposed = await get(`${NS}/services/one`);
  assert.equal(exposed.spec.clusterIP, service.spec.clusterIP);
  assert.ok(exposed.spec.ports[0].nodePort >= 30000);
  assert.equal((await get(hpa)).spec.maxReplicas, 5);
  assert.equal((await h.call("GET", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/one")).status, 404);
});

test("helm upgrades with nothing changed write nothing but the release", { skip }, async () => {
  const before = await get(deployment);
  await helmRun("upgrade", "one", chart, "-n", "shop", "--reuse-values");
  const after = await get(deployment);
  assert.equal(after.metadata.resourceVersion, before.metadata.resourceVersion);
  assert.equal(after.metadata.generation, before.metadata.generation);
});

test("helm rolls back to the first revision and keeps the history", { skip }, async () => {
  assert.match(await helmRun("rollback", "one", "1", "-n", "shop"), /success/i);
  const restored = await get(deployment);
  assert.equal(restored.spec.template.spec.containers[0].image, "busybox:1");
  assert.equal((await get(`${NS}/configmaps/one`)).data.greeting, "hello");
  const service = await get(`${NS}/services/one`);
  assert.deepEqual([service.spec.type, service.spec.ports[0].nodePort], ["ClusterIP", undefined]);
  assert.equal((await h.call("GET", hpa)).status, 404);
  assert.equal((await h.call("GET", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/one")).status, 200);
  assert.match(await helmRun("history", "one", "-n", "shop"), /4\s.*deployed\s+shop-0\.1\.0\s+1\s+Rollback to 1/);
});

test("helm refuses a release that is there, and an object that is somebody else's", { skip }, async () => {
  await assert.rejects(
    helmRun("install", "one", chart, "-n", "shop"),
    /cannot re-use a name that is still in use|still in use/,
  );
  await h.create(`${NS}/serviceaccounts`, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "two" } });
  await assert.rejects(
    helmRun("install", "two", chart, "-n", "shop"),
    /invalid ownership metadata|exists and cannot be imported/,
  );
});

test("helm shows what it would do with a dry run on the server", { skip }, async () => {
  assert.match(await helmRun("install", "dry", chart, "-n", "shop", "--dry-run=server"), /kind: Deployment/);
  assert.equal((await h.call("GET", `${NS}/services/dry`)).status, 404);
});

test("helm uninstalls what it installed and nothing else", { skip }, async () => {
  assert.match(await helmRun("uninstall", "one", "-n", "shop"), /release "one" uninstalled/);
  for (const path of [deployment, `${NS}/services/one`, `${NS}/configmaps/one`, `${NS}/secrets/one`]) {
    const answer = await h.call("GET", path);
    assert.ok(answer.status === 404 || answer.body.metadata.deletionTimestamp !== undefined, `${path} is gone`);
  }
  assert.equal((await h.call("GET", `${NS}/serviceaccounts/two`)).status, 200);
  assert.match(await helmRun("list", "-n", "shop"), /^NAME[^\n]*\n*$/);
});
