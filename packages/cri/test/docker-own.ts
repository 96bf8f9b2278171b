/** What only the Docker runtime does, or does by itself: events, strangers' containers, faults of the engine and of the kubelet. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import type { TestDockerd } from "@knarr/testkit/start-dockerd.ts";
import { startRegistry } from "@knarr/testkit/start-registry.ts";
import Docker from "dockerode";
import type { PullProgress, Runtime } from "../src/runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../src/runtime-error.ts";
import type { RuntimeEvent } from "../src/types.ts";
import { type ContractKit, containerConfig, exited, IMAGE, say, sleeper, start, until } from "./contract-kit.ts";
import { assertCounted, joined, parseLog } from "./contract-logs.ts";

const run = promisify(execFile);

const engineOf = (dockerd: TestDockerd) => new Docker({ socketPath: join(dockerd.directory, "docker.sock") });

export function dockerOwn(kit: ContractKit, dockerd: () => TestDockerd): void {
  test("events() tells each step of a sandbox and its containers with the pod's uid", async () => {
    const follower = await kit.open();
    const stop = new AbortController();
    const seen: RuntimeEvent[] = [];
    const following = (async () => {
      for await (const event of follower.events(stop.signal)) seen.push(event);
    })();
    let uid = "";
    let ids: string[] = [];
    const labels = (podUid: string) => ({ "io.kubernetes.pod.uid": podUid });
    await kit.withSandbox(async (given) => {
      uid = given.sandbox.metadata.uid;
      const config = containerConfig("main", ["/bin/true"], { labels: labels(uid) });
      // The stream may open after the sandbox was made: only what comes later is sure to be seen.
      await until("the stream is open", async () => {
        const id = await start(given, { ...config, metadata: { name: "probe", attempt: ids.length } });
        ids.push(id);
        await exited(given.runtime, id);
        return seen.some((e) => e.containerId === id) ? true : undefined;
      });
      ids = [await start(given, config), given.sandboxId];
      await exited(given.runtime, ids[0] ?? "");
    });
    const typesOf = (id: string | undefined) => seen.filter((e) => e.containerId === id).map((e) => e.type);
    await until("the last event", async () => (typesOf(ids[1]).includes("deleted") ? true : undefined));
    assert.deepEqual(typesOf(ids[0]), ["created", "started", "stopped", "deleted"]);
    assert.ok(seen.every((e) => e.podUid === uid && Math.abs(e.createdAt - Date.now()) < 60_000));
    stop.abort();
    await following;
    follower.close();
  });

  test("containers of others are not listed, not found and not touched", async () => {
    const engine = engineOf(dockerd());
    const runtime = await kit.open();
    const made = [];
    for (const Labels of [{}, { "io.kubernetes.pod.uid": "x" }, { "dev.knarr.cri": "container" }]) {
      const HostConfig = { NetworkMode: "none", CgroupParent: kit.cgroupParent };
      const container = await engine.createContainer({ Image: IMAGE, Cmd: ["sleep", "1000"], Labels, HostConfig });
      await container.start();
      made.push(container);
    }
    try {
      const listed = [...(await runtime.listContainers()), ...(await runtime.listSandboxes())];
      for (const { id } of made) {
        assert.ok(!listed.some((c) => c.id === id));
        await assert.rejects(runtime.containerStatus(id), isRuntimeNotFound);
        await assert.rejects(runtime.execSync(id, ["/bin/true"], 1000), isRuntimeNotFound);
        await runtime.stopContainer(id, 0);
        await runtime.removeContainer(id);
        await assert.rejects(runtime.stopSandbox(id), isRuntimeNotFound);
        await assert.rejects(runtime.removeSandbox(id), isRuntimeNotFound);
      }
      for (const container of made) assert.equal((await container.inspect()).State.Running, true);
    } finally {
      for (const container of made) await container.remove({ force: true });
      runtime.close();
    }
  });

  test("a sandbox whose container somebody removed is listed as not ready, and its network is given back", async () => {
    const leases = join(dockerd().directory, "ipam", "knarr-test");
    const held = async () => (await run("sh", ["-c", `ls ${leases} | grep -c '^10\\.' || true`])).stdout.trim();
    const before = await held();
    await kit.withSandbox(async ({ runtime, sandboxId }) => {
      assert.notEqual(await held(), before);
      await engineOf(dockerd()).getContainer(sandboxId).remove({ force: true });
      const listed = (await runtime.listSandboxes()).find((s) => s.id === sandboxId);
      assert.equal(listed?.state, "notReady");
      assert.equal((await runtime.sandboxStatus(sandboxId)).state, "notReady");
      await runtime.stopSandbox(sandboxId);
      assert.equal(await held(), before);
      await runtime.removeSandbox(sandboxId);
      assert.ok(!(await runtime.listSandboxes()).some((s) => s.id === sandboxId));
    });
  });

  test("runSandbox() leaves nothing behind when the network refuses the pod", async () => {
    const runtime = await kit.open();
    const path = join(dockerd().cniConfDir, "00-broken.conflist");
    const ipam = { type: "host-local", dataDir: join(dockerd().directory, "ipam"), subnet: "10.88.18.0/24" };
    const plugins = [
      { type: "bridge", bridge: "knarrbroken", ipam },
      { type: "tuning", sysctl: { "net.core.nothing": "1" } },
    ];
    const broken = { cniVersion: "1.0.0", name: "broken", plugins };
    await writeFile(path, JSON.stringify(broken));
    const before = (await runtime.listSandboxes()).length;
    try {
      await assert.rejects(
        kit.withSandbox(async () => undefined),
        (error) => error instanceof RuntimeError && /failed to setup network for sandbox/.test(error.detail),
      );
      assert.equal((await runtime.listSandboxes()).length, before);
    } finally {
      await run("rm", [path]);
    }
    runtime.close();
  });

  test("a host port leads into the pod", async () => {
    await kit.withSandbox(
      async (given) => {
        const serve = "mkdir /srv; echo hello > /srv/index.html; exec httpd -f -p 8080 -h /srv";
        await start(given, containerConfig("main", ["/bin/sh", "-c", serve]));
        const gateway = "10.88.8.1";
        await until("the server answers", async () => {
          const answer = await fetch(`http://${gateway}:18080/`).catch(() => undefined);
          return (await answer?.text()) === "hello\n" ? true : undefined;
        });
      },
      (config) => ({
        ...config,
        portMappings: [{ protocol: "TCP", containerPort: 8080, hostPort: 18080, hostIp: "" }],
      }),
    );
  });

  test("what runs outlives an engine that is killed; its log has no gap, and the runtime finds all of it again", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime, sandboxId } = given;
      const script = "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); usleep 10000; done; sleep 1000";
      const id = await start(given, containerConfig("main", ["/bin/sh", "-c", script]));
      const before = await runtime.containerStatus(id);
      const address = (await runtime.sandboxStatus(sandboxId)).ips;
      await dockerd().kill();
      await assert.rejects(runtime.version(), (e) => e instanceof RuntimeError && e.code === "Unavailable");
      await dockerd().restart();
      const after = await until(
        "the engine answers",
        async () => await runtime.containerStatus(id).catch(() => undefined),
      );
      assert.deepEqual([after.state, after.startedAt], ["running", before.startedAt]);
      const sandbox = await runtime.sandboxStatus(sandboxId);
      assert.deepEqual([sandbox.state, sandbox.ips], ["ready", address]);
      assert.equal(await say(runtime, id, "echo still here"), "still here");
      const path = join(given.logs, "main.log");
      const texts = await until("the last line", async () => {
        const text = await readFile(path, "utf8");
        // It is being written: what was read may end within a line.
        if (!text.endsWith("\n")) return undefined;
        const lines = joined(parseLog(text), "stdout");
        return lines.at(-1) === "399" ? lines : undefined;
      });
      assert.deepEqual(
        texts,
        Array.from({ length: 400 }, (_, i) => String(i)),
      );
    });
  });

  test("a container whose shim is killed has ended, and is removed as any other", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime } = given;
      const id = await start(given, sleeper("main"));
      const { stdout } = await run("sh", ["-c", `pgrep -f '[c]ontainerd-shim.*${id}'`]);
      for (const pid of stdout.trim().split("\n")) process.kill(Number(pid), "SIGKILL");
      const status = await exited(runtime, id);
      assert.notEqual(status.exitCode, 0);
      await runtime.removeContainer(id);
      await assert.rejects(runtime.containerStatus(id), isRuntimeNotFound);
    });
  });

  test("another runtime on the same folders goes on with logs where the last one stopped", async () => {
    await kit.withSandbox(async (given) => {
      const script = "i=0; until test -e /end; do echo $i; i=$((i+1)); usleep 5000; done; echo end";
      let current: Runtime = given.runtime;
      const id = await start(given, containerConfig("main", ["/bin/sh", "-c", script]));
      const stops: AbortController[] = [];
      for (let round = 0; round < 3; round++) {
        current.close();
        current = await kit.open();
        const stop = new AbortController();
        stops.push(stop);
        // Following the events is what a kubelet's keeper does, and what makes it take over.
        (async () => {
          for await (const _ of current.events(stop.signal));
        })().catch(() => undefined);
        const size = async () => (await readFile(join(given.logs, "main.log"), "utf8")).length;
        const seen = await size();
        await until("the log grows", async () => ((await size()) > seen + 100 ? true : undefined));
      }
      await say(current, id, "touch /end");
      await exited(current, id);
      assertCounted(joined(parseLog(await readFile(join(given.logs, "main.log"), "utf8")), "stdout"));
      for (const stop of stops) stop.abort();
      current.close();
    });
  });

  test("a pull that stands still and is given up ends in the engine, too: the next one gets the image", async () => {
    const files = [{ type: "file" as const, path: "data", mode: 0o644, data: randomBytes(2_000_000) }];
    const registry = await startRegistry({ name: "team/still", tag: "1", files });
    const runtime = await kit.open();
    try {
      registry.stall = true;
      const enough = new AbortController();
      const onProgress = ({ bytesDone }: PullProgress) => {
        if (bytesDone > 0) enough.abort(new Error("enough"));
      };
      await assert.rejects(
        runtime.pullImage(registry.image, undefined, { signal: enough.signal, onProgress }),
        /enough/,
      );
      registry.stall = false;
      assert.match(await runtime.pullImage(registry.image, undefined), /^sha256:/);
      await runtime.removeImage(registry.image);
    } finally {
      runtime.close();
      await registry.stop();
    }
  });

  test("createContainer() takes another name when a leftover holds the one it wants", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime, sandboxId, sandbox } = given;
      const config = sleeper("main");
      const ids = [1, 2].map(async () => await runtime.createContainer(sandboxId, config, sandbox));
      const [one, two] = await Promise.all(ids);
      assert.notEqual(one, two);
    });
  });

  test("anonymous volumes that an image asks for go with their container", async () => {
    const engine = engineOf(dockerd());
    const folder = join(dockerd().directory, `volume-${randomUUID()}`);
    await mkdir(folder);
    const name = "knarr.local/volume";
    const base = await engine.createContainer({ Image: IMAGE, HostConfig: { NetworkMode: "none" } });
    await base.commit({ repo: name, tag: "1", changes: "VOLUME /data" });
    await base.remove();
    await kit.withSandbox(async (given) => {
      const id = await start(given, sleeper("main", { image: { image: `${name}:1` } }));
      assert.equal((await engine.listVolumes()).Volumes.length, 1);
      await given.runtime.removeContainer(id);
      assert.equal((await engine.listVolumes()).Volumes?.length ?? 0, 0);
      await given.runtime.removeImage(`${name}:1`);
      assert.equal(await given.runtime.imageStatus(`${name}:1`), undefined);
    });
  });
}
