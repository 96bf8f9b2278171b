/** The npm package of the command line: what `npm pack` makes installs and runs where there is nothing of this repository. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

const run = promisify(execFile);
const packageDir = fileURLToPath(new URL("..", import.meta.url));
let folder = "";
let etcd: TestEtcd;
let server: TestApiserver;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-pack-"));
  etcd = await startEtcd();
  server = await startApiserver({ etcd });
  await run("npm", ["pack", "--pack-destination", folder], { cwd: packageDir, timeout: 120_000 });
  const archive = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  assert.ok(archive !== undefined, "npm pack made no archive");
  // Offline: the package has no dependencies.
  const flags = ["--prefix", folder, "--offline", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...flags, join(folder, archive)], { cwd: folder, timeout: 120_000 });
});
after(async () => {
  await server.stop();
  await etcd.stop();
  await rm(folder, { recursive: true, force: true });
});

const knarr = (...args: string[]) =>
  run(join(folder, "node_modules/.bin/knarr"), args, {
    cwd: folder,
    timeout: 180_000,
    env: { PATH: process.env.PATH, HOME: folder, KUBECONFIG: server.kubeconfig },
  });

test("the installed package speaks to a server", async () => {
  assert.match((await knarr("version")).stdout, /Server Version: v1\.36/);
  assert.match((await knarr("get", "namespaces")).stdout, /^kube-system +Active/m);
  const made = await knarr("create", "deployment", "web", "--image=web", "--dry-run=client", "-o", "yaml");
  assert.match(made.stdout, /^kind: Deployment$/m);
});

test("the installed package says what it can't do without the sources", async () => {
  const failed = await knarr("up", "--data-dir", join(folder, "data")).catch((error: unknown) => error);
  const { stderr, code } = failed as { stderr: string; code: number };
  assert.equal(code, 1);
  assert.match(stderr, /needs Knarr's daemons.*KNARR_HOME/);
});
