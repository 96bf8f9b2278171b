import assert from "node:assert/strict";
import { test } from "node:test";
import { runGroup, type Task } from "./run-group.ts";

const untilAborted =
  (onStop: () => void): Task =>
  (signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        onStop();
        reject(signal.reason);
      });
    });

test("runGroup() stops tasks last declared first when the signal aborts", async () => {
  const order: string[] = [];
  const controller = new AbortController();
  const done = runGroup(controller.signal, {
    loops: untilAborted(() => order.push("loops")),
    server: untilAborted(() => order.push("server")),
  });
  controller.abort();
  await done;
  assert.deepEqual(order, ["server", "loops"]);
});

test("runGroup() stops the others and rejects with the first error when a task fails", async () => {
  let stopped = false;
  const failure = new Error("disk gone");
  const done = runGroup(new AbortController().signal, {
    steady: untilAborted(() => {
      stopped = true;
    }),
    broken: async () => {
      throw failure;
    },
  });
  await assert.rejects(done, failure);
  assert.ok(stopped);
});

test("runGroup() rejects naming the task when one returns early", async () => {
  await assert.rejects(runGroup(new AbortController().signal, { early: async () => {} }), /task early ended before/);
});

test("runGroup() still stops its tasks when the signal was aborted before", async () => {
  const controller = new AbortController();
  controller.abort();
  let ran = false;
  await runGroup(controller.signal, {
    late: async (signal) => {
      ran = true;
      signal.throwIfAborted();
    },
  });
  assert.ok(ran);
});
