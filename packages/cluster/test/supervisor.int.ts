/** The supervisor with real processes: starts, restarts, orders, cleans up, and finds what an earlier one left. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { ClusterBusyError, withClusterLock } from "../src/cluster-lock.ts";
import type { ComponentSpec } from "../src/components.ts";
import { endLeftover, identityFile, readIdentity } from "../src/supervisor/component-process.ts";
import { identify, isAlive, signalProcess } from "../src/supervisor/process-identity.ts";
import { askSupervisor, type ComponentState, SupervisorGoneError } from "../src/supervisor/protocol.ts";
import { Supervisor } from "../src/supervisor/supervisor.ts";

let folder = "";
let socketPath = "";
let controller: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-supervisor-"));
  socketPath = join(folder, "s.sock");
  controller = new AbortController();
  const options = { socketPath, runDir: folder, logDir: folder, clock: systemClock, log: silentLogger() };
  running = new Supervisor({ ...options, signal: controller.signal }).run();
  await until("the supervisor listens", async () => {
    await askSupervisor(socketPath, { op: "status" });
    return true;
  });
});
afterEach(async () => {
  await askSupervisor(socketPath, { op: "shutdown" }).catch((error: unknown) => {
    if (!(error instanceof SupervisorGoneError)) throw error;
  });
  controller.abort();
  await running;
  await rm(folder, { recursive: true });
});

const sh = (name: string, script: string, stopTimeoutMs = 60_000): ComponentSpec => ({
  name,
  command: ["sh", "-c", script],
  health: { kind: "socket", path: "/nowhere" },
  stopTimeoutMs,
});
const SLEEP = "exec sleep 1000";
const start = (...components: ComponentSpec[]) => askSupervisor(socketPath, { op: "start", components });
async function stateOf(name: string): Promise<ComponentState> {
  const found = (await askSupervisor(socketPath, { op: "status" })).components.find((c) => c.name === name);
  assert.ok(found, `no component ${name}`);
  return found;
}
async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    try {
      if (await check()) return;
    } catch (error) {
      if (!(error instanceof SupervisorGoneError)) throw error;
    }
    if (performance.now() > deadlineMs) throw new Error(`not after a minute: ${what}`);
    await systemClock.sleep(20);
  }
}

test("a component that ends is started again, and its restarts and last exit are told", async () => {
  await start(sh("a", SLEEP));
  const { pid } = await stateOf("a");
  assert.ok(pid);
  process.kill(pid, "SIGKILL");
  await until("a runs again", async () => {
    const now = await stateOf("a");
    return now.state === "running" && now.pid !== pid;
  });
  const after = await stateOf("a");
  assert.equal(after.restarts, 1);
  assert.equal(after.lastExit, "SIGKILL");
});

test("a component that can't start waits between its tries, and the others go on", async () => {
  await start({ ...sh("broken", ""), command: ["/does/not/exist"] }, sh("b", SLEEP));
  await until("the reason is known", async () => (await stateOf("broken")).lastExit.includes("ENOENT"));
  assert.equal((await stateOf("b")).state, "running");
});

test("start again leaves a running component alone, and replaces it when its command differs", async () => {
  await start(sh("a", SLEEP));
  const first = (await stateOf("a")).pid;
  await start(sh("a", SLEEP));
  assert.equal((await stateOf("a")).pid, first);
  await start(sh("a", `true; ${SLEEP}`));
  assert.notEqual((await stateOf("a")).pid, first);
});

test("stop ends with SIGKILL what does not end by SIGTERM, and nothing starts it again", async () => {
  await start(sh("stubborn", 'trap "" TERM; echo ready; while :; do sleep 1; done', 300));
  await until("it is set up", async () => (await readFile(join(folder, "stubborn.log"), "utf8")).includes("ready"));
  const { pid } = await stateOf("stubborn");
  assert.ok(pid);
  await askSupervisor(socketPath, { op: "stop", names: ["stubborn"] });
  assert.equal(await identify(pid), undefined);
  assert.equal((await stateOf("stubborn")).state, "stopped");
  assert.equal(await readIdentity(identityFile(folder, "stubborn")), undefined);
});

test("shutdown stops everything, last started first, and the supervisor ends", async () => {
  const trace = (name: string) =>
    `trap 'echo ${name} >> ${folder}/order; exit' TERM; echo up; while :; do sleep 0.02; done`;
  await start(sh("first", trace("first")), sh("second", trace("second")));
  for (const name of ["first", "second"]) {
    await until(`${name} is set up`, async () => (await readFile(join(folder, `${name}.log`), "utf8")).includes("up"));
  }
  await askSupervisor(socketPath, { op: "shutdown" });
  await running;
  assert.equal(await readFile(join(folder, "order"), "utf8"), "second\nfirst\n");
  await assert.rejects(askSupervisor(socketPath, { op: "status" }), SupervisorGoneError);
});

test("a supervisor that only ends leaves its components running, and the next one replaces them", async () => {
  const a = sh("a", `echo start >> ${folder}/starts; ${SLEEP}`);
  await start(a);
  const { pid } = await stateOf("a");
  assert.ok(pid);
  controller.abort();
  await running;
  const identity = await identify(pid);
  assert.ok(identity);
  const next = new AbortController();
  const options = { socketPath, runDir: folder, logDir: folder, clock: systemClock, log: silentLogger() };
  running = new Supervisor({ ...options, signal: next.signal }).run();
  await until("the next supervisor has started it", async () => {
    await start(a);
    return true;
  });
  assert.equal(await isAlive(identity), false);
  assert.equal((await stateOf("a")).state, "running");
  await until("it is there", async () => (await readFile(join(folder, "starts"), "utf8")) === "start\nstart\n");
  await askSupervisor(socketPath, { op: "shutdown" });
  await running;
  assert.equal(await readFile(join(folder, "starts"), "utf8"), "start\nstart\n", "who has ended starts nothing more");
});

test("a bad request is answered with what is wrong, and the supervisor goes on", async () => {
  await assert.rejects(askSupervisor(socketPath, { op: "nonsense" } as never), /unknown request/);
  await assert.rejects(askSupervisor(socketPath, { op: "stop", names: ["nobody"] }), /no component nobody/);
  assert.equal((await askSupervisor(socketPath, { op: "status" })).ok, true);
});

test("endLeftover() never touches a process that has the pid of an earlier one", async () => {
  const child = spawn("sleep", ["1000"]);
  assert.ok(child.pid);
  const identity = await identify(child.pid);
  assert.ok(identity);
  assert.equal(await signalProcess({ ...identity, startTicks: "1" }, "SIGKILL"), false);
  assert.equal(await signalProcess({ ...identity, bootId: "an earlier boot" }, "SIGKILL"), false);
  assert.equal(await isAlive(identity), true);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  await endLeftover(join(folder, "nothing.json"), 1000, systemClock);
});

test("withClusterLock() lets one command in at a time, and the next one after a failure", async () => {
  const entered = Promise.withResolvers<void>();
  const held = withClusterLock(folder, () => entered.promise);
  await assert.rejects(
    withClusterLock(folder, async () => {}),
    ClusterBusyError,
  );
  await withClusterLock(`${folder}-other`, async () => {});
  entered.resolve();
  await held;
  await assert.rejects(
    withClusterLock(folder, async () => {
      throw new Error("it failed");
    }),
    /it failed/,
  );
  await withClusterLock(folder, async () => {});
});
