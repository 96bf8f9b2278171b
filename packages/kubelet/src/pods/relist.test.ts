import assert from "node:assert/strict";
import test from "node:test";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { RuntimeEvent } from "@knarr/cri/types.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { Relist } from "./relist.ts";

/** A runtime that counts lists, and whose event stream is told by hand. */
class ListedRuntime {
  lists = 0;
  #next = Promise.withResolvers<RuntimeEvent>();
  readonly #stream: "works" | "is missing";

  constructor(stream: "works" | "is missing") {
    this.#stream = stream;
  }

  tell(podUid: string): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers();
    resolve({ podUid } as RuntimeEvent);
  }

  breakStream(): void {
    const { reject } = this.#next;
    this.#next = Promise.withResolvers();
    reject(new RuntimeError("Unavailable", "gone"));
  }

  async listSandboxes(): Promise<never[]> {
    this.lists++;
    return [];
  }

  async listContainers(): Promise<never[]> {
    return [];
  }

  async *events(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    if (this.#stream === "is missing") throw new RuntimeError("Unimplemented", "no such call");
    const ended = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    while (!signal.aborted) yield await Promise.race([this.#next.promise, ended]);
  }
}

async function started(stream: "works" | "is missing") {
  const runtime = new ListedRuntime(stream);
  const clock = new FakeClock();
  const stop = new AbortController();
  const changed: string[] = [];
  const relist = new Relist({
    runtime: runtime as unknown as Runtime,
    clock,
    log: createLogger({ name: "test", level: "silent" }),
    onChange: (uid) => changed.push(uid),
  });
  const running = relist.run(stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  /** Seconds that go by one by one, and the lists made meanwhile. */
  const pass = async (seconds: number) => {
    const before = runtime.lists;
    for (let i = 0; i < seconds; i++) await clock.advance(1000);
    return runtime.lists - before;
  };
  await pass(1);
  return { runtime, changed, pass, end };
}

test("Relist lists every second without an event stream, or while that has told nothing yet", async () => {
  for (const stream of ["is missing", "works"] as const) {
    const { pass, end } = await started(stream);
    assert.equal(await pass(10), 10);
    await end();
  }
});

test("Relist lists after an event, then seldom; every second again when the stream breaks", async () => {
  const { runtime, changed, pass, end } = await started("works");
  runtime.tell("a");
  assert.equal(await pass(1), 1);
  assert.deepEqual(changed, ["a"]);
  assert.equal(await pass(10), 2);
  runtime.tell("b");
  assert.equal(await pass(1), 1);
  runtime.breakStream();
  assert.equal(await pass(4), 4);
  await end();
});
