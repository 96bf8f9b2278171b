/** What every runtime must do, whatever it is made of. Each implementation's test calls this with a fresh runtime. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime } from "../src/runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../src/runtime-error.ts";
import { imageContract } from "./contract-images.ts";
import { ContractKit, type ContractOptions, containerConfig, exited, IMAGE, start, until } from "./contract-kit.ts";
import { logContract } from "./contract-logs.ts";
import { podContract } from "./contract-pods.ts";
import { streamContract } from "./contract-streams.ts";

export function runtimeContract(open: () => Promise<Runtime>, options: ContractOptions): void {
  const kit = new ContractKit(open, options);
  lifeContract(kit);
  podContract(kit);
  logContract(kit);
  streamContract(kit);
  imageContract(kit);
}

function lifeContract(kit: ContractKit): void {
  test("version() and status() say which runtime it is and that it is ready", async () => {
    const runtime = await kit.open();
    assert.notEqual((await runtime.version()).runtimeName, "");
    const { conditions } = await runtime.status();
    // containerd 2.x has conditions of its own besides.
    for (const type of ["NetworkReady", "RuntimeReady"]) {
      assert.equal(conditions.find((c) => c.type === type)?.status, true, type);
    }
    runtime.close();
  });

  test("runSandbox() gives the pod an address and lists it with its labels and annotations", async () => {
    await kit.withSandbox(async ({ runtime, sandboxId: id, sandbox: config }) => {
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
    await kit.withSandbox(async (given) => {
      const { runtime, sandbox, logs } = given;
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
      const id = await start(given, config);
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
    await kit.withSandbox(async (given) => {
      const { runtime, logs } = given;
      const script = "trap '' TERM; echo deaf; while :; do sleep 1; done";
      const id = await start(given, containerConfig("deaf", ["/bin/sh", "-c", script]));
      // What becomes the shell ends by TERM.
      await until("it ignores TERM", async () =>
        (await readFile(join(logs, "deaf.log"), "utf8").catch(() => "")).includes("deaf") ? true : undefined,
      );
      await runtime.stopContainer(id, 1);
      assert.equal((await runtime.containerStatus(id)).exitCode, 137);
      await runtime.stopContainer(id, 1);
    });
  });

  test("removeContainer(), stopSandbox() and removeSandbox() are idempotent", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime, sandboxId } = given;
      const id = await start(given, containerConfig("a", ["/bin/sleep", "100"]));
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
    await kit.withSandbox(async (given) => {
      const { runtime } = given;
      const id = await start(given, containerConfig("a", ["/bin/sleep", "100"]));
      const result = await runtime.execSync(id, ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"], 60_000);
      assert.deepEqual([result.stdout.toString(), result.stderr.toString(), result.exitCode], ["out\n", "err\n", 7]);
      await assert.rejects(
        runtime.execSync(id, ["/bin/sleep", "100"], 1000),
        (error) => error instanceof RuntimeError && ["DeadlineExceeded", "Unknown"].includes(error.code),
      );
    });
  });

  test("execUrl(), attachUrl() and portForwardUrl() name a streaming server", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime, sandboxId } = given;
      const id = await start(given, containerConfig("a", ["/bin/sleep", "100"]));
      const request = { tty: false, stdin: false, stdout: true, stderr: true };
      assert.match(await runtime.execUrl(id, ["/bin/true"], request), /^https?:\/\//);
      assert.match(await runtime.attachUrl(id, request), /^https?:\/\//);
      assert.match(await runtime.portForwardUrl(sandboxId, [80]), /^https?:\/\//);
    });
  });

  test("listContainerStats() measures a running container", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime } = given;
      const id = await start(given, containerConfig("a", ["/bin/sleep", "100"]));
      const stats = await until("stats", async () =>
        (await runtime.listContainerStats()).find((s) => s.id === id && (s.cpuUsageNanoSeconds ?? 0) > 0),
      );
      assert.equal(stats.name, "a");
      assert.ok((stats.memoryUsageBytes ?? 0) > 0);
    });
  });

  test("imageStatus() finds an image by its name and by its id, and answers undefined for an absent one", async () => {
    const runtime = await kit.open();
    const image = await runtime.imageStatus(IMAGE);
    assert.ok(image?.repoTags.includes(IMAGE));
    assert.equal((await runtime.imageStatus(image!.id))?.id, image!.id);
    assert.equal(await runtime.imageStatus("knarr.local/absent:1"), undefined);
    assert.ok((await runtime.listImages()).some((i) => i.id === image!.id && i.sizeBytes > 0));
    runtime.close();
  });

  test("a call ends with its signal's reason when it aborts", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime } = given;
      const id = await start(given, containerConfig("a", ["/bin/sleep", "100"]));
      const controller = new AbortController();
      const call = runtime.execSync(id, ["/bin/sleep", "50"], 60_000, { signal: controller.signal });
      await sleep(100);
      controller.abort(new Error("enough"));
      await assert.rejects(call, /enough/);
    });
  });
}
