/** What lies in etcd with an EncryptionConfiguration, and what clients see of it: nothing. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { startApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";
import { configMap, EventReader, Harness } from "./api-harness.ts";

const key = (fill: number) => Buffer.alloc(32, fill).toString("base64");
const file = (providers: string) =>
  `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n${providers}`;
const cbc = (...names: readonly [name: string, fill: number][]) =>
  `  - aescbc:\n      keys:\n${names.map(([name, fill]) => `      - {name: ${name}, secret: ${key(fill)}}\n`).join("")}`;
const gcm = (name: string, fill: number) => `  - aesgcm: {keys: [{name: ${name}, secret: ${key(fill)}}]}\n`;

const api = new Harness();
let dir = "";
let store: EtcdStore;
const path = () => join(dir, "encryption.yaml");

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "knarr-encryption-"));
  await writeFile(path(), file(`${cbc(["key1", 1])}  - identity: {}\n`));
  api.etcd = await startEtcd();
  api.api = await startApiserver({ etcd: api.etcd, args: [`--encryption-provider-config=${path()}`] });
  const log = createLogger({ name: "test", level: "fatal" });
  store = new EtcdStore({ endpoints: [api.etcd.endpoint] }, { clock: systemClock, log });
});

after(async () => {
  store?.close();
  await api.stop();
  await rm(dir, { recursive: true, force: true });
});

const secrets = "/api/v1/namespaces/default/secrets";
const secret = (name: string) => ({ metadata: { name }, stringData: { password: "hush" } });
const stored = async (name: string) =>
  (await store.get(`/registry/secrets/default/${name}`)).item?.value.toString("latin1") ?? "";

test("Secrets are encrypted in etcd, other resources are not, and every verb sees plain objects", async () => {
  const watch = new EventReader(await api.open("GET", `${secrets}?watch=true&fieldSelector=metadata.name%3Da`));
  await api.create(secrets, secret("a"));
  await api.create("/api/v1/namespaces/default/configmaps", configMap("a"));
  assert.match(await stored("a"), /^k8s:enc:aescbc:v1:key1:/);
  assert.match((await store.get("/registry/configmaps/default/a")).item?.value.toString() ?? "", /^\{/);
  const hush = Buffer.from("hush").toString("base64");
  assert.equal((await api.call("GET", `${secrets}/a`)).body.data.password, hush);
  assert.equal((await watch.next()).object.data.password, hush);
  await api.create(secrets, secret("b"));
  await api.create(secrets, secret("c"));
  const page = await api.call("GET", `${secrets}?limit=2`);
  assert.equal(page.body.items.length, 2);
  const rest = await api.call("GET", `${secrets}?limit=2&continue=${encodeURIComponent(page.body.metadata.continue)}`);
  assert.equal(rest.body.items[0].data.password, hush);
  const patched = await api.call("PATCH", `${secrets}/b`, {
    body: { stringData: { user: "x" } },
    headers: { "content-type": "application/merge-patch+json" },
  });
  assert.equal(patched.status, 200);
  assert.match(await stored("b"), /^k8s:enc:aescbc:v1:key1:/);
});

test("a new first key writes, the old one still reads, and an update without a change writes anew", async () => {
  await writeFile(path(), file(`${gcm("g1", 2)}${cbc(["key1", 1])}`));
  await api.api.restart();
  const { body } = await api.call("GET", `${secrets}/a`);
  assert.match(await stored("a"), /^k8s:enc:aescbc:v1:key1:/);
  assert.equal((await api.call("PUT", `${secrets}/a`, { body })).status, 200);
  assert.match(await stored("a"), /^k8s:enc:aesgcm:v1:g1:/);
  const again = await api.call("GET", `${secrets}/a`);
  const unchanged = await api.call("PUT", `${secrets}/a`, { body: again.body });
  assert.equal(unchanged.body.metadata.resourceVersion, again.body.metadata.resourceVersion);
});

test("a Secret whose key is gone is an error that names it, and nothing else is harmed", async () => {
  await writeFile(path(), file(gcm("g1", 2)));
  await api.api.restart();
  assert.equal((await api.call("GET", `${secrets}/a`)).status, 200);
  for (const answer of [await api.call("GET", `${secrets}/b`), await api.call("GET", secrets)]) {
    assert.equal(answer.status, 500, answer.text);
    assert.match(
      answer.body.message,
      /unable to transform key "\/registry\/secrets\/default\/[bc]": no matching prefix/,
    );
  }
  assert.equal((await api.call("GET", `${secrets}/none`)).status, 404);
  assert.equal((await api.call("GET", "/api/v1/namespaces/default/configmaps")).status, 200);
  await api.create(secrets, secret("d"));
});

test("a configuration that cannot be used keeps the server from starting and says why", async () => {
  await writeFile(path(), file("  - kms: {name: x}\n"));
  await assert.rejects(api.api.restart(), /encryption-provider-config .*KMS plugins are not supported/);
});
