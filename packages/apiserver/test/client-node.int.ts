/**
 * Unmodified @kubernetes/client-node: objects, every patch type, server-side apply, informers that live through
 * disconnects and compactions, leases as leader election uses them (the library has no leader election of its own).
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  type Informer,
  KubeConfig,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  V1MicroTime,
  type V1Service,
  Watch,
} from "@kubernetes/client-node";
import { configMap, pod, useApiserver } from "./api-harness.ts";

const h = useApiserver({
  prepare: async (api) => {
    await api.create("/api/v1/namespaces/default/serviceaccounts", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default" },
    });
    config.loadFromFile(api.api.kubeconfig);
  },
});
const config = new KubeConfig();
const core = () => config.makeApiClient(CoreV1Api);
const namespace = "default";

/** Polls until the value is there: informers tell by events, stores by their content. */
async function eventually<T>(what: string, look: () => T | undefined | false, deadlineMs = 60_000): Promise<T> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) assert.fail(`waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("objects are created, read, listed by pages, replaced and deleted", async () => {
  for (const name of ["cn1", "cn2", "cn3"]) {
    await core().createNamespacedConfigMap({ namespace, body: configMap(name, {}, { labels: { cn: "1" } }) });
  }
  const first = await core().listNamespacedConfigMap({ namespace, labelSelector: "cn=1", limit: 2 });
  assert.equal(first.items.length, 2);
  const rest = await core().listNamespacedConfigMap({
    namespace,
    labelSelector: "cn=1",
    limit: 2,
    ...(first.metadata?._continue === undefined ? {} : { _continue: first.metadata._continue }),
  });
  assert.deepEqual(
    rest.items.map((item) => item.metadata?.name),
    ["cn3"],
  );
  const [object] = rest.items;
  assert.ok(object);
  const replaced = await core().replaceNamespacedConfigMap({
    namespace,
    name: "cn3",
    body: { ...object, data: { a: "b" } },
  });
  assert.deepEqual(replaced.data, { a: "b" });
  await assert.rejects(
    core().replaceNamespacedConfigMap({ namespace, name: "cn3", body: { ...object, data: { a: "c" } } }),
    (error: { code?: number }) => error.code === 409,
  );
  const status = await core().deleteNamespacedConfigMap({ namespace, name: "cn3" });
  assert.equal(status.status, "Success");
});

test("every patch type does what it says", async () => {
  await config.makeApiClient(AppsV1Api).createNamespacedDeployment({
    namespace,
    body: {
      metadata: { name: "patched" },
      spec: {
        selector: { matchLabels: { a: "b" } },
        template: {
          metadata: { labels: { a: "b" } },
          spec: {
            containers: [
              { name: "one", image: "i:1" },
              { name: "two", image: "i:1" },
            ],
          },
        },
      },
    },
  });
  const patch = async (type: PatchStrategy, body: object, more: object = {}) =>
    config
      .makeApiClient(AppsV1Api)
      .patchNamespacedDeployment({ namespace, name: "patched", body, ...more }, setHeaderOptions("Content-Type", type));
  const images = { spec: { template: { spec: { containers: [{ name: "two", image: "i:2" }] } } } };
  const strategic = await patch(PatchStrategy.StrategicMergePatch, images);
  assert.deepEqual(
    strategic.spec?.template.spec?.containers.map((c) => c.image),
    ["i:1", "i:2"],
  );
  const json = await patch(PatchStrategy.JsonPatch, [{ op: "replace", path: "/spec/replicas", value: 4 }]);
  assert.equal(json.spec?.replicas, 4);
  const merged = await patch(PatchStrategy.MergePatch, { metadata: { labels: { k: "v" } }, spec: { replicas: null } });
  assert.deepEqual([merged.metadata?.labels, merged.spec?.replicas], [{ k: "v" }, 1]);
  const apply = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "patched" }, spec: { paused: true } };
  const applied = await patch(PatchStrategy.ServerSideApply, apply, { fieldManager: "cn", force: true });
  assert.equal(applied.spec?.paused, true);
  assert.ok(
    applied.metadata?.managedFields?.some(({ manager, operation }) => manager === "cn" && operation === "Apply"),
  );
  const scaled = await config
    .makeApiClient(AppsV1Api)
    .patchNamespacedDeploymentScale(
      { namespace, name: "patched", body: { spec: { replicas: 7 } } },
      setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
    );
  assert.equal(scaled.spec?.replicas, 7);
});

test("the generic object client finds kinds by discovery", async () => {
  const api = KubernetesObjectApi.makeApiClient(config);
  const made = await api.create<V1Service>({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "generic", namespace },
    spec: { ports: [{ port: 80 }] },
  });
  assert.equal(made.metadata?.name, "generic");
  const list = await api.list<V1Service>("v1", "Service", namespace);
  assert.ok(list.items.some((item) => item.metadata?.name === "generic"));
  await api.delete(made);
  await assert.rejects(api.read({ apiVersion: "v1", kind: "Service", metadata: { name: "generic", namespace } }), {
    code: 404,
  } as never);
});

const informers: Informer<V1ConfigMap>[] = [];
after(async () => {
  for (const informer of informers) await informer.stop();
});

test("an informer's store is true again after the server was killed and started", async () => {
  const informer = makeInformer<V1ConfigMap>(config, `/api/v1/namespaces/${namespace}/configmaps`, () =>
    core().listNamespacedConfigMap({ namespace }),
  );
  informers.push(informer);
  const events: string[] = [];
  informer.on("add", (object) => events.push(`add ${object.metadata?.name}`));
  informer.on("update", (object) => events.push(`update ${object.metadata?.name} ${object.data?.v}`));
  informer.on("delete", (object) => events.push(`delete ${object.metadata?.name}`));
  // What the library asks of its users: start again after an error.
  informer.on("error", () => setTimeout(() => void informer.start().catch(() => {}), 200));
  await informer.start();
  const make = (name: string) => core().createNamespacedConfigMap({ namespace, body: configMap(name) });
  await make("inf1");
  await eventually("the first event", () => events.includes("add inf1"));
  await h.api.kill();
  await h.api.restart();
  await make("inf2");
  await eventually("the object made after the restart", () => informer.get("inf2", namespace));
  await core().patchNamespacedConfigMap(
    { namespace, name: "inf1", body: { data: { v: "2" } } },
    setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
  );
  await eventually("the change", () => events.includes("update inf1 2"));
  await core().deleteNamespacedConfigMap({ namespace, name: "inf1" });
  await eventually("the deletion", () => events.includes("delete inf1"));
  assert.equal(informer.get("inf1", namespace), undefined);
});

test("a watch gives events in order with their versions and ends at its time-out", async () => {
  const { metadata } = await core().listNamespacedConfigMap({ namespace });
  const seen: string[] = [];
  const watch = new Watch(config);
  const ended = Promise.withResolvers<unknown>();
  await watch.watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { resourceVersion: metadata?.resourceVersion, timeoutSeconds: 8 },
    (type, object: V1ConfigMap) => seen.push(`${type} ${object.metadata?.name}`),
    (error) => ended.resolve(error),
  );
  await core().createNamespacedConfigMap({ namespace, body: configMap("ordered") });
  await core().deleteNamespacedConfigMap({ namespace, name: "ordered" });
  await ended.promise;
  assert.deepEqual(seen, ["ADDED ordered", "DELETED ordered"]);
});

test("a lease passes from holder to holder, and only one of two rivals gets it", async () => {
  const leases = () => config.makeApiClient(CoordinationV1Api);
  const body = {
    metadata: { name: "leader", namespace },
    spec: { holderIdentity: "a", leaseDurationSeconds: 15, renewTime: new V1MicroTime("2026-01-02T03:04:05.123456Z") },
  };
  await leases().createNamespacedLease({ namespace, body });
  const read = await leases().readNamespacedLease({ namespace, name: "leader" });
  const bids = ["b", "c"].map((holderIdentity) =>
    leases().replaceNamespacedLease({
      namespace,
      name: "leader",
      body: { ...read, spec: { ...read.spec, holderIdentity } },
    }),
  );
  const outcomes = await Promise.allSettled(bids);
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const raw = (await h.call("GET", `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/leader`)).body;
  assert.match(raw.spec.renewTime, /^2026-01-02T03:04:05\.\d{6}Z$/);
});

test("an eviction that a budget forbids is 429 with its cause", async () => {
  await core().createNamespacedPod({ namespace, body: pod("guarded", {}, { labels: { guarded: "1" } }) });
  await h.create(`/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`, {
    metadata: { name: "guard" },
    spec: { minAvailable: 1, selector: { matchLabels: { guarded: "1" } } },
  });
  await h.call("PATCH", `/api/v1/namespaces/${namespace}/pods/guarded/status`, {
    body: { status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  await assert.rejects(
    core().createNamespacedPodEviction({ namespace, name: "guarded", body: { metadata: { name: "guarded" } } }),
    (error: { code?: number; body?: string }) => error.code === 429 && /DisruptionBudget/.test(String(error.body)),
  );
});
