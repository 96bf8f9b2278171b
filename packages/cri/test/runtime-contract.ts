/** What every runtime must do, whatever it is made of. Each implementation's test calls this with a fresh runtime. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime } from "../src/runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../src/runtime-error.ts";
import type { ContainerConfig, ContainerStatus, SandboxConfig } from "../src/types.ts";

const IMAGE = "knarr.local/busybox:1";

export interface ContractOptions {
  readonly cgroupParent: string;
}

function sandboxConfig(name: string, logDirectory: string, cgroupParent: string): SandboxConfig {
  return {
    metadata: { name, uid: randomUUID(), namespace: "default", attempt: 0 },
    hostname: name,
    logDirectory,
    dnsConfig: { servers: ["10.96.0.10"], searches: ["default.svc.cluster.local"], options: ["ndots:5"] },
    labels: { "io.kubernetes.pod.name": name },
    annotations: { note: "kept" },
    linux: {
      cgroupParent,
      securityContext: { namespaceOptions: { network: "POD", pid: "CONTAINER", ipc: "POD" } },
    },
  };
}

function containerConfig(
  name: string,
  command: readonly string[],
  more: Partial<ContainerConfig> = {},
): ContainerConfig {
  return { metadata: { name, attempt: 0 }, image: { image: IMAGE }, command, logPath: `${name}.log`, ...more };
}

async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const value = await probe();
    if (value !== undefined) return value;
    await sleep(50);
  }
  throw new Error(`never happened: ${what}`);
}

async function exited(runtime: Runtime, id: string): Promise<ContainerStatus> {
  return await until(`container ${id} exits`, async () => {
    const status = await runtime.containerStatus(id);
    return status.state === "exited" ? status : undefined;
  });
}

export function runtimeContract(open: () => Promise<Runtime>, options: ContractOptions): void {
  const withSandbox = async (
    body: (runtime: Runtime, sandboxId: string, config: SandboxConfig, logs: string) => Promise<void>,
  ) => {
    const runtime = await open();
    const logs = await mkdtemp(join(tmpdir(), "knarr-logs-"));
    const config = sandboxConfig(`pod-${randomUUID().slice(0, 8)}`, logs, options.cgroupParent);
    const id = await runtime.runSandbox(config, "");
    try {
      await body(runtime, id, config, logs);
    } finally {
      await runtime.stopSandbox(id);
      await runtime.removeSandbox(id);
      await rm(logs, { recursive: true });
      runtime.close();
    }
  };
  const start = async (runtime: Runtime, sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig) => {
    const id = await runtime.createContainer(sandboxId, config, sandbox);
    await runtime.startContainer(id);
    return id;
  };

  test("version() and status() say which runtime it is and that it is ready", async () => {
    const runtime = await open();
    assert.notEqual((await runtime.version()).runtimeName, "");
    const { conditions } = await runtime.status();
    assert.deepEqual(conditions.map((c) => [c.type, c.status]).toSorted(), [
      ["NetworkReady", true],
      ["RuntimeReady", true],
    ]);
    runtime.close();
  });

  test("runSandbox() gives the pod an address and lists it with its labels and annotations", async () => {
    await withSandbox(async (runtime, id, config) => {
      const status = await runtime.sandboxStatus(id);
      assert.equal(status.state, "ready");
      assert.deepEqual(status.metadata, config.metadata);
      assert.equal(status.ips.length, 1);
      const listed = (await runtime.listSandboxes({ state: "ready" })).find((s) => s.id === id);
      assert.deepEqual(listed?.labels, config.labels);
      assert.deepEqual(listed?.annotations, config.annotations);
      assert.ok(Math.abs((listed?.createdAt ?? 0) - Date.now()) < 60_000);
    });
  });

  test("startContainer() runs the command with its environment, user and hostname, and logs in CRI format", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox, logs) => {
      const config = containerConfig(
        "main",
        ["/bin/sh", "-c", "echo $GREETING $(id -u) $(hostname); echo bad >&2; exit 3"],
        {
          envs: [{ key: "GREETING", value: "hallå" }],
          linux: {
            securityContext: {
              runAsUser: { value: 1234 },
              namespaceOptions: sandbox.linux!.securityContext!.namespaceOptions,
            },
          },
        },
      );
      const id = await start(runtime, sandboxId, config, sandbox);
      const status = await exited(runtime, id);
      assert.deepEqual([status.exitCode, status.reason, status.name], [3, "Error", "main"]);
      // containerd notes the start after the task runs, so a container this short may end before it has started.
      assert.ok(status.createdAt <= status.startedAt && status.createdAt <= status.finishedAt);
      const lines = (await readFile(join(logs, "main.log"), "utf8")).trim().split("\n");
      const bare = lines.map((line) => line.replace(/^\S+ /, "")).toSorted();
      assert.deepEqual(bare, ["stderr F bad", `stdout F hallå 1234 ${sandbox.hostname}`]);
    });
  });

  test("stopContainer() kills a container that ignores TERM when the grace is over", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox) => {
      const id = await start(
        runtime,
        sandboxId,
        containerConfig("deaf", ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]),
        sandbox,
      );
      await runtime.stopContainer(id, 1);
      assert.equal((await runtime.containerStatus(id)).exitCode, 137);
      await runtime.stopContainer(id, 1);
    });
  });

  test("removeContainer(), stopSandbox() and removeSandbox() are idempotent", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox) => {
      const id = await start(runtime, sandboxId, containerConfig("a", ["/bin/sleep", "100"]), sandbox);
      await runtime.stopContainer(id, 0);
      for (let round = 0; round < 2; round++) await runtime.removeContainer(id);
      await assert.rejects(runtime.containerStatus(id), isRuntimeNotFound);
      for (let round = 0; round < 2; round++) await runtime.stopSandbox(sandboxId);
      assert.equal((await runtime.sandboxStatus(sandboxId)).state, "notReady");
      for (let round = 0; round < 2; round++) await runtime.removeSandbox(sandboxId);
      await assert.rejects(runtime.sandboxStatus(sandboxId), isRuntimeNotFound);
    });
  });

  test("execSync() returns both streams and the exit code, and fails with DeadlineExceeded when it takes too long", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox) => {
      const id = await start(runtime, sandboxId, containerConfig("a", ["/bin/sleep", "100"]), sandbox);
      const result = await runtime.execSync(id, ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"], 5000);
      assert.deepEqual([result.stdout.toString(), result.stderr.toString(), result.exitCode], ["out\n", "err\n", 7]);
      await assert.rejects(
        runtime.execSync(id, ["/bin/sleep", "100"], 1000),
        (error) => error instanceof RuntimeError && ["DeadlineExceeded", "Unknown"].includes(error.code),
      );
    });
  });

  test("execUrl(), attachUrl() and portForwardUrl() name a streaming server", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox) => {
      const id = await start(runtime, sandboxId, containerConfig("a", ["/bin/sleep", "100"]), sandbox);
      const request = { tty: false, stdin: false, stdout: true, stderr: true };
      assert.match(await runtime.execUrl(id, ["/bin/true"], request), /^https?:\/\//);
      assert.match(await runtime.attachUrl(id, request), /^https?:\/\//);
      assert.match(await runtime.portForwardUrl(sandboxId, [80]), /^https?:\/\//);
    });
  });

  test("listContainerStats() measures a running container", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox) => {
      const id = await start(runtime, sandboxId, containerConfig("a", ["/bin/sleep", "100"]), sandbox);
      const stats = await until("stats", async () =>
        (await runtime.listContainerStats()).find((s) => s.id === id && (s.cpuUsageNanoSeconds ?? 0) > 0),
      );
      assert.equal(stats.name, "a");
      assert.ok((stats.memoryUsageBytes ?? 0) > 0);
    });
  });

  test("imageStatus() finds an image by its name and by its id, and answers undefined for an absent one", async () => {
    const runtime = await open();
    const image = await runtime.imageStatus(IMAGE);
    assert.ok(image?.repoTags.includes(IMAGE));
    assert.equal((await runtime.imageStatus(image!.id))?.id, image!.id);
    assert.equal(await runtime.imageStatus("knarr.local/absent:1"), undefined);
    assert.ok((await runtime.listImages()).some((i) => i.id === image!.id && i.sizeBytes > 0));
    runtime.close();
  });

  test("a call ends with its signal's reason when it aborts", async () => {
    await withSandbox(async (runtime, sandboxId, sandbox) => {
      const id = await start(runtime, sandboxId, containerConfig("a", ["/bin/sleep", "100"]), sandbox);
      const controller = new AbortController();
      const call = runtime.execSync(id, ["/bin/sleep", "50"], 60_000, { signal: controller.signal });
      await sleep(100);
      controller.abort(new Error("enough"));
      await assert.rejects(call, /enough/);
    });
  });
}
