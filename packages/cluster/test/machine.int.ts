/** What a cluster makes on a machine - bridge, namespaces, rules, mounts, the pause program - in namespaces of the test's own. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { planCluster } from "../src/cluster-config.ts";
import { findConflicts } from "../src/conflicts.ts";
import { renderRuncWrapper } from "../src/containerd-config.ts";
import { pauseBinary } from "../src/images/pause-binary.ts";
import { applyHostNetwork, chainName, insideNode, removeHostNetwork } from "../src/network.ts";
import { unmountAll } from "../src/node-files.ts";
import { clusterPaths } from "../src/paths.ts";

const exec = promisify(execFile);
const run = async (...command: string[]) => (await exec(command[0] ?? "", command.slice(1))).stdout;

if (await isolatedTest(import.meta)) {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "knarr-machine-"));
  });
  after(() => rm(folder, { recursive: true }));
  const config = planCluster({ name: "knarr-test", dataDir: "/nowhere", index: 5, nodeCount: 2 });

  test("applyHostNetwork() joins host and nodes, twice without a change, and mends what was lost", async () => {
    await applyHostNetwork(config);
    // What the kernel finds out by itself, a moment later, is no change of ours: counts, carriers, operational states.
    const noise = /^#.*$|\[\d+:\d+\]|,?(NO-CARRIER|LOWER_UP|M-DOWN),?| state \S+/gm;
    const state = async () => `${await run("iptables-save")}${await run("ip", "-o", "link")}`.replace(noise, "");
    const first = await state();
    await applyHostNetwork(config);
    assert.equal(await state(), first);
    await run("ip", "link", "delete", config.nodes[0]?.link ?? "");
    await run("iptables", "-t", "nat", "-F", chainName(config.name, "MASQ"));
    await applyHostNetwork(config);
    const [one, two] = config.nodes;
    assert.ok(one && two);
    await run(...insideNode(one, ["busybox", "ping", "-c1", "-W30", two.ip]));
    await run("busybox", "ping", "-c1", "-W30", one.ip);
    assert.match(await run("iptables-save", "-t", "nat"), /KNARR-UP-KNARR-TEST-MASQ .*MASQUERADE/);
  });

  test("insideNode() gives a process the node's network and host name, and keeps its pid", async () => {
    const [node] = config.nodes;
    assert.ok(node);
    assert.equal(await run(...insideNode(node, ["hostname"])), "node-1\n");
    assert.match(await run(...insideNode(node, ["ip", "-4", "-o", "address"])), /172\.30\.5\.11/);
    const [program = "", ...args] = insideNode(node, ["sh", "-c", "echo $$"]);
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    const said = new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(String(chunk))));
    assert.equal((await said).trim(), String(child.pid));
  });

  test("removeHostNetwork() takes all of it away, and again without a complaint", async () => {
    await removeHostNetwork(config);
    await removeHostNetwork(config);
    assert.doesNotMatch(await run("iptables-save"), /KNARR/);
    assert.doesNotMatch(await run("ip", "-o", "link"), /knarr/);
    assert.doesNotMatch(await run("ip", "netns", "list"), /knarr/);
  });

  test("findConflicts() names ports in use and ranges that go elsewhere, and nothing else", async () => {
    const paths = clusterPaths(folder);
    assert.deepEqual(await findConflicts(config, paths), []);
    const server = createServer().unref();
    await new Promise<void>((resolve) => server.listen(config.ports.apiserver, "127.0.0.1", resolve));
    await run("ip", "link", "add", "elsewhere", "type", "bridge");
    await run("ip", "link", "set", "elsewhere", "up");
    await run("ip", "address", "add", "172.30.5.77/24", "dev", "elsewhere");
    const conflicts = await findConflicts(config, paths);
    assert.equal(conflicts.length, 2);
    assert.match(conflicts[0] ?? "", /^port 6448, wanted by apiserver, is in use$/);
    assert.match(conflicts[1] ?? "", /^the range 172\.30\.5\.0\/24 overlaps with this host's route to 172\.30\.5\./);
    await new Promise((resolve) => server.close(resolve));
  });

  test("unmountAll() unmounts everything at and below a folder, deepest first, and nothing beside it", async () => {
    const [mine, beside] = [join(folder, "node"), join(folder, "node-2")];
    for (const path of [mine, beside]) {
      await mkdir(path);
      await run("mount", "-t", "tmpfs", "tmpfs", path);
    }
    await mkdir(join(mine, "in side"));
    await run("mount", "-t", "tmpfs", "tmpfs", join(mine, "in side"));
    await unmountAll(mine);
    const mounts = await readFile("/proc/self/mounts", "utf8");
    assert.ok(!mounts.includes(`${mine} `) && !mounts.includes(`${mine}/`));
    assert.ok(mounts.includes(`${beside} `));
    await unmountAll(beside);
  });

  test("pauseBinary() waits, reaps orphans as process 1, and ends on TERM", {
    skip: process.arch !== "x64" && "optional: x86-64 machine code",
  }, async () => {
    const program = join(folder, "pause");
    await writeFile(program, pauseBinary());
    await chmod(program, 0o755);
    // The shell starts an orphan-to-be and then becomes the program, process 1 of its namespace.
    const script = `(sleep 0.3 &) ; exec ${program}`;
    const child = spawn("unshare", ["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]);
    const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
    const childrenOf = async (pid: string) => (await run("pgrep", "-P", pid).catch(() => "")).trim();
    let init = "";
    let comm = "";
    for (const deadline = Date.now() + 60_000; ; await new Promise((wake) => setTimeout(wake, 50))) {
      init = await childrenOf(String(child.pid));
      comm = await readFile(`/proc/${init === "" ? "self" : init}/comm`, "utf8");
      if (comm === "pause\n" && (await childrenOf(init)) === "") break;
      assert.ok(Date.now() < deadline, `process 1 is ${comm} and has ${await childrenOf(init)}`);
    }
    process.kill(Number(init), "SIGTERM");
    assert.equal(await ended, 0);
  });

  test("renderRuncWrapper() strips the missing capability from what runc is given, wherever it stands in the list", async () => {
    const wrapper = join(folder, "runc");
    const runc = join(folder, "real-runc");
    const bundle = join(folder, "bundle");
    await mkdir(bundle);
    await writeFile(runc, '#!/bin/sh\necho "$@"\n');
    await writeFile(wrapper, renderRuncWrapper(runc));
    for (const path of [wrapper, runc]) await chmod(path, 0o755);
    const config = {
      capabilities: {
        a: ["CAP_SYS_RESOURCE"],
        b: ["CAP_CHOWN", "CAP_SYS_RESOURCE"],
        c: ["CAP_SYS_RESOURCE", "CAP_KILL"],
      },
    };
    await writeFile(join(bundle, "config.json"), JSON.stringify(config));
    assert.equal(await run(wrapper, "create", "--bundle", bundle, "x y"), `create --bundle ${bundle} x y\n`);
    const stripped = JSON.parse(await readFile(join(bundle, "config.json"), "utf8"));
    assert.deepEqual(stripped.capabilities, { a: [], b: ["CAP_CHOWN"], c: ["CAP_KILL"] });
    const unknown = await exec(wrapper, ["exec", "--process", join(folder, "missing.json"), "id"]);
    assert.match(unknown.stdout, /^exec --process/);
  });
}
