import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { inClusterConfig } from "./in-cluster-config.ts";
import { loadKubeconfig } from "./kubeconfig.ts";
import { KubeconfigError } from "./kubeconfig-file.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "knarr-kubeconfig-"));
});
afterEach(() => rm(dir, { recursive: true }));

interface Parts {
  readonly name?: string;
  readonly cluster?: object;
  readonly user?: object;
  readonly context?: object;
  readonly current?: string;
}
async function write(
  file: string,
  { name = "a", cluster = {}, user = {}, context = {}, current }: Parts,
): Promise<string> {
  const path = join(dir, file);
  const config = {
    clusters: [{ name, cluster: { server: `https://${name}:6443`, ...cluster } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, ...context } }],
    "current-context": current ?? name,
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

test("loadKubeconfig() reads data, names and the namespace of the current context", async () => {
  const path = await write("config", {
    cluster: { "certificate-authority-data": btoa("CA"), "tls-server-name": "api" },
    user: { "client-certificate-data": btoa("CERT"), "client-key-data": btoa("KEY") },
    context: { namespace: "team" },
  });
  const config = loadKubeconfig({ path });
  assert.deepEqual([config.server, config.namespace, config.tlsServerName], ["https://a:6443", "team", "api"]);
  const tls = await config.credentials?.();
  assert.deepEqual([tls?.ca, tls?.cert, tls?.key].map(String), ["CA", "CERT", "KEY"]);
});

test("loadKubeconfig() merges $KUBECONFIG: the first to say something wins, missing files are skipped", async () => {
  const first = await write("one", { name: "a", user: { token: "first" } });
  const second = await write("two", { name: "b", user: { token: "second" } });
  const third = await write("three", { name: "a", user: { token: "third" } });
  const env = { KUBECONFIG: [join(dir, "missing"), first, second, third].join(":") };
  assert.equal(loadKubeconfig({ env }).token, "first");
  assert.equal(loadKubeconfig({ env, context: "b" }).token, "second");
});

test("loadKubeconfig() falls back to ~/.kube/config and says where it looked", () => {
  assert.throws(() => loadKubeconfig({ env: { HOME: dir } }), new RegExp(`no kubeconfig found at ${dir}/.kube/config`));
});

test("loadKubeconfig() reads certificate files again when they were rotated, relative to the kubeconfig", async () => {
  const clock = new FakeClock();
  await writeFile(join(dir, "c.crt"), "one");
  await writeFile(join(dir, "c.key"), "key");
  const path = await write("config", { user: { "client-certificate": "c.crt", "client-key": "c.key" } });
  const { credentials } = loadKubeconfig({ path, clock });
  const before = await credentials?.();
  assert.equal(String(before?.cert), "one");
  assert.equal(await credentials?.(), before);
  await writeFile(join(dir, "c.crt"), "two!");
  await clock.advance(11_000);
  const now = await credentials?.();
  assert.equal(String(now?.cert), "two!");
  assert.equal(String(now?.key), "key");
});

test("loadKubeconfig() prefers tokenFile to token, and follows the file", async () => {
  const clock = new FakeClock();
  await writeFile(join(dir, "token"), "one\n");
  const { token, refreshToken } = loadKubeconfig({
    path: await write("c", { user: { token: "no", tokenFile: "token" } }),
    clock,
  });
  const read = token as () => Promise<string>;
  assert.equal(await read(), "one");
  await writeFile(join(dir, "token"), "three\n");
  assert.equal(await read(), "one");
  refreshToken?.();
  assert.equal(await read(), "three");
});

test("loadKubeconfig() takes credentials from an exec plugin until they expire", async () => {
  const clock = new FakeClock();
  const expires = new Date(clock.now() + 60_000).toISOString();
  const script = join(dir, "plugin");
  const text = `#!/bin/sh
echo x >> ${dir}/runs
printf '{"status":{"token":"%s-%s","expirationTimestamp":"${expires}"}}' "$PREFIX" "$(wc -l < ${dir}/runs | tr -d ' ')"
`;
  await writeFile(script, text);
  await chmod(script, 0o755);
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1",
    command: script,
    env: [{ name: "PREFIX", value: "t" }],
  };
  const { token } = loadKubeconfig({ path: await write("c", { user: { exec } }), clock, env: process.env });
  const read = token as () => Promise<string>;
  assert.deepEqual(await Promise.all([read(), read()]), ["t-1", "t-1"]);
  await clock.advance(61_000);
  assert.equal(await read(), "t-2");
});

test("loadKubeconfig() passes the install hint on when an exec plugin is missing", async () => {
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1",
    command: join(dir, "nope"),
    installHint: "get it there",
  };
  const { token } = loadKubeconfig({ path: await write("c", { user: { exec } }) });
  await assert.rejects(token as () => Promise<string>, /can't be run: .*\nget it there/s);
});

const broken: { name: string; parts: Parts; context?: string; want: RegExp }[] = [
  { name: "the context is unknown", parts: {}, context: "x", want: /context "x" does not exist/ },
  { name: "the cluster is unknown", parts: { context: { cluster: "x" } }, want: /names the cluster "x"/ },
  { name: "the user is unknown", parts: { context: { user: "x" } }, want: /names the user "x"/ },
  { name: "there is no server", parts: { cluster: { server: "" } }, want: /has no server/ },
  { name: "a proxy is asked for", parts: { cluster: { "proxy-url": "http://p" } }, want: /proxies are not supported/ },
  {
    name: "an auth-provider is asked for",
    parts: { user: { "auth-provider": { name: "gcp" } } },
    want: /"gcp", which no longer exists/,
  },
];
for (const { name, parts, context, want } of broken) {
  test(`loadKubeconfig() throws when ${name}`, async () => {
    const path = await write("c", parts);
    assert.throws(
      () => loadKubeconfig({ path, context }),
      (error) => error instanceof KubeconfigError && want.test(error.message),
    );
  });
}

test("loadKubeconfig() throws when the file is not YAML, or is missing though it was named", async () => {
  await writeFile(join(dir, "bad"), "a: [");
  assert.throws(() => loadKubeconfig({ path: join(dir, "bad") }), /is not YAML/);
  assert.throws(() => loadKubeconfig({ path: join(dir, "none") }), /can't be read/);
});

test("inClusterConfig() builds the address, IPv6 too, and follows the token", async () => {
  await writeFile(join(dir, "token"), "t");
  await writeFile(join(dir, "ca.crt"), "CA");
  const config = inClusterConfig({ env: { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" }, dir });
  assert.equal(config.server, "https://[fd00::1]:443");
  assert.equal(await (config.token as () => Promise<string>)(), "t");
  assert.equal(String((await config.credentials?.())?.ca), "CA");
  assert.throws(() => inClusterConfig({ env: {} }), /not in a pod/);
});
