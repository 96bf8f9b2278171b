/** Runs examples/controller as its README says, against a real API server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const MAIN = fileURLToPath(new URL("../../../examples/controller/main.ts", import.meta.url));

let etcd: TestEtcd;
let api: TestApiserver;
let client: Client;
let controller: ChildDaemon;

const start = () =>
  ChildDaemon.start({
    command: process.execPath,
    args: [MAIN],
    env: { ...process.env, KUBECONFIG: api.kubeconfig },
    ready: async () => true,
  });

before(async () => {
  etcd = await startEtcd();
  api = await startApiserver({ etcd });
  client = new Client(api.admin);
  controller = await start();
});
after(async () => {
  await controller.stop();
  client.close();
  await api.stop();
  await etcd.stop();
});

async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await systemClock.sleep(50)) {
    if (await check()) return;
  }
  assert.fail(`${what}: not within 30 s`);
}
const textIn = async (namespace: string) => {
  try {
    return (await client.get(core.configmaps, { namespace, name: "motd" })).data?.text;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
};
const makeNamespace = (name: string) =>
  client.create(core.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });

test("the example copies a ConfigMap everywhere, mends the copies, goes on after it was killed, and cleans up", async () => {
  await makeNamespace("before");
  const metadata = { namespace: "default", name: "motd", labels: { "example.com/share": "true" } };
  await client.create(core.configmaps, { apiVersion: "v1", kind: "ConfigMap", metadata, data: { text: "hello" } });
  await eventually("a copy", async () => (await textIn("before")) === "hello");
  await client.delete(core.configmaps, { namespace: "before", name: "motd" });
  await eventually("the copy is back", async () => (await textIn("before")) === "hello");
  await controller.kill();
  await makeNamespace("meanwhile");
  const body = { data: { text: "bye" } };
  await client.patch(core.configmaps, { namespace: "default", name: "motd" }, { type: "merge", body });
  controller = await start();
  await eventually(
    "what it missed",
    async () => (await textIn("before")) === "bye" && (await textIn("meanwhile")) === "bye",
  );
  await client.delete(core.configmaps, { namespace: "default", name: "motd" });
  await eventually(
    "no copy is left",
    async () => ((await textIn("before")) ?? (await textIn("meanwhile"))) === undefined,
  );
});
