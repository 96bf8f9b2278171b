import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ChildDaemon, freePort } from "../src/child-daemon.ts";

const module = new URL("../src/child-daemon.ts", import.meta.url).href;

for (const { name, ending } of [
  { name: "is ended by the runner at its time limit", ending: "SIGTERM" },
  { name: "is interrupted", ending: "SIGINT" },
  { name: "ends by itself and forgets it", ending: undefined },
] as const) {
  test(`ChildDaemon goes with the process that started it when that ${name}`, async () => {
    const script = `
      import { ChildDaemon } from ${JSON.stringify(module)};
      const daemon = await ChildDaemon.start({ command: "sleep", args: ["1000"], ready: async () => true });
      console.log(daemon.pid);
      process.stdin.once("data", () => process.exit(0));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [pid] = await once(child.stdout, "data");
    const ended = once(child, "exit");
    if (ending === undefined) child.stdin.write("end");
    else child.kill(ending);
    await ended;
    const deadline = Date.now() + 60_000;
    while (isThere(Number(String(pid)))) {
      assert.ok(Date.now() < deadline, `process ${pid} outlives the one that started it`);
      await sleep(20);
    }
  });
}

test("ChildDaemon.start() gives up at its deadline on a daemon that never answers", async () => {
  const ready = () => new Promise<boolean>(() => {});
  const starting = ChildDaemon.start({ command: "sleep", args: ["1000"], ready, readyTimeoutMs: 300 });
  await assert.rejects(starting, /was not ready in time/);
});

test("freePort() keeps away from the ports of outgoing connections, and gives none twice", async () => {
  const ports = await Promise.all(Array.from({ length: 100 }, () => freePort()));
  assert.equal(new Set(ports).size, ports.length);
  assert.ok(ports.every((port) => port > 1024 && port < 30_000));
});

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH: what is asked.
  }
}
