import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { eventually, type Harness, makeNamespace, startHarness } from "./harness.ts";

let harness: Harness;
let client: Client;

before(async () => {
  harness = await startHarness();
  client = harness.client;
  await harness.startManager(["--leader-elect=false"]);
});
after(() => harness.stop());

const exists = (namespace: string, name: string) =>
  client.get(core.configmaps, { namespace, name }).then(
    () => true,
    (error: unknown) => {
      if (isNotFound(error)) return false;
      throw error;
    },
  );

test("a namespace is emptied, pods first, and can be made again", async () => {
  const namespace = await makeNamespace(client, "ordered");
  const metadata = { namespace, name: "data" };
  await client.create(core.configmaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
  await client.create(core.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name: "held", finalizers: ["example.com/hold"] },
    spec: { containers: [{ name: "c", image: "i" }] },
  });
  await client.delete(core.namespaces, { namespace: "", name: namespace });
  const conditions = await eventually("conditions say what remains", async () => {
    const { status } = await client.get(core.namespaces, { namespace: "", name: namespace });
    const on = (status?.conditions ?? []).filter((c) => c.status === "True");
    return on.length > 0 ? on : undefined;
  });
  const byType = Object.fromEntries(conditions.map(({ type, message }) => [type, message]));
  assert.match(byType.NamespaceContentRemaining ?? "", /pods\. has 1 resource instances/);
  assert.match(byType.NamespaceFinalizersRemaining ?? "", /example\.com\/hold in 1 resource instances/);
  assert.match(byType.NamespaceDeletionContentFailure ?? "", /unexpected items still remain in namespace: ordered/);
  assert.ok(await exists(namespace, "data"), "nothing else goes while a pod remains");
  const body = { metadata: { finalizers: null } };
  await client.patch(core.pods, { namespace, name: "held" }, { type: "merge", body });
  await eventually("the namespace is gone", () =>
    client.get(core.namespaces, { namespace: "", name: namespace }).then(() => false, isNotFound),
  );
  await makeNamespace(client, namespace);
  assert.equal(await exists(namespace, "data"), false);
});
