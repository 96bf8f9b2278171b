/** A node's Docker Engine as `up --runtime docker` starts it: its configuration, health, images and end, on a real dockerd. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { planCluster } from "../src/cluster-config.ts";
import { type ComponentSpec, cgroupOf, planNode } from "../src/components.ts";
import { probeHealth } from "../src/health.ts";
import { buildImageArchive } from "../src/images/image-archive.ts";
import { PAUSE_IMAGE, pauseImage } from "../src/images/pause-image.ts";
import { loadIntoEngine } from "../src/load-into-engine.ts";
import { applyNodeFiles, mountsBelow, removeCgroup, removeNodeState } from "../src/node-files.ts";
import { clusterPaths } from "../src/paths.ts";
import { findTools } from "../src/tools.ts";

/** The status that the engine answers a GET with. */
function ask(socketPath: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path }, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode));
    });
    call.once("error", reject);
    call.end();
  });
}

if (await isolatedTest(import.meta)) {
  const { signal } = new AbortController();
  let dataDir = "";
  let engine: ChildDaemon | undefined;
  let spec: ComponentSpec;
  const setUp = () => {
    const name = `knarr-test-${process.ppid}`;
    const config = planCluster({ name, dataDir, index: 0, nodeCount: 1, runtime: "docker" });
    const [node] = config.nodes;
    assert.ok(node);
    return { config, node, paths: clusterPaths(dataDir), files: clusterPaths(dataDir).node(node.name) };
  };
  const start = async () => {
    const [command = "", ...args] = spec.command;
    // CI's cores are busy: what is waited for is the engine's first answer.
    const ready = async () => (await probeHealth(spec.health)) === undefined;
    engine = await ChildDaemon.start({ command, args, ready, readyTimeoutMs: 90_000 });
  };

  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "knarr-docker-node-"));
    const { config, node, paths, files } = setUp();
    const tools = await findTools({ dataDir, env: process.env, runtime: "docker" });
    await applyNodeFiles({
      ...{ paths: files, tools, runtime: config.runtime, sandboxImage: PAUSE_IMAGE },
      ...{ resolvers: ["192.0.2.1"], cgroup: cgroupOf(config, node) },
    });
    const enter = (_node: unknown, command: readonly string[]) => command;
    const [runtime] = planNode({ config, paths, tools, node: process.execPath, projectRoot: "", enter }, node);
    assert.equal(runtime?.name, "docker@node-1");
    spec = runtime as ComponentSpec;
    await start();
  });
  after(async () => {
    await engine?.stop();
    const { config, node, files } = setUp();
    await removeNodeState(files);
    await removeCgroup(cgroupOf(config, node));
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
  });

  test("loadIntoEngine() brings the sandbox image to the node's engine, which no other image is in", async () => {
    const { files } = setUp();
    const socket = files.dockerSocket;
    assert.equal(await ask(socket, `/images/${PAUSE_IMAGE}/json`), 404);
    await loadIntoEngine(await buildImageArchive(pauseImage(), join(dataDir, "images")), { socket, signal });
    assert.equal(await ask(socket, `/images/${PAUSE_IMAGE}/json`), 200);
  });

  test("loadIntoEngine() says what the engine says when the archive is none, or is not there", async () => {
    const { files } = setUp();
    const options = { socket: files.dockerSocket, signal };
    const broken = join(dataDir, "broken.tar");
    await writeFile(broken, "this is no archive, and longer than nothing\n".repeat(100));
    await assert.rejects(loadIntoEngine(broken, options), /could not load .*broken\.tar: ./);
    await assert.rejects(loadIntoEngine(join(dataDir, "absent.tar"), options), /ENOENT|absent\.tar/);
    assert.equal(await ask(files.dockerSocket, "/_ping"), 200);
  });

  test("the engine starts again after a kill, with its images, and keeps to the node's folder", async () => {
    const { files } = setUp();
    await engine?.kill();
    assert.notEqual(await probeHealth(spec.health), undefined);
    // Its containerd ends with it; in this test's process namespace nobody else would collect its pid file.
    await rm(join(files.dockerExec, "containerd/containerd.pid"), { force: true });
    await start();
    assert.equal(await ask(files.dockerSocket, `/images/${PAUSE_IMAGE}/json`), 200);
    // Engines of several nodes share /run: a pid file or a socket there would be fought over.
    assert.deepEqual(
      (await readdir("/run")).filter((entry) => /^docker\./.test(entry)),
      [],
    );
  });

  test("removeNodeState() leaves no mount of the engine and nothing but its data", async () => {
    const { files } = setUp();
    await engine?.stop();
    engine = undefined;
    await removeNodeState(files);
    assert.deepEqual(await mountsBelow(files.dir), []);
    assert.deepEqual((await readdir(join(files.dir, "docker"))).sort(), ["daemon.json", "data"]);
  });
}
