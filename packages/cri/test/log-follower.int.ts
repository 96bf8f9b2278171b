/**
 * The law of log followers: whatever is written, rotated on either side, interrupted and started again, the CRI files hold
 * every line once and in order.
 */
import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import fc from "fast-check";
import { LogFollower } from "../src/docker/log-follower.ts";

const STEPS = ["write", "write", "tear", "pump", "engineRotates", "kubeletRotates", "restart", "crash"] as const;
const ENGINE_FILES = 5;

class LogWorld {
  readonly #folder: string;
  readonly paths: { source: string; target: string; position: string };
  #follower: LogFollower;
  #written = 0;
  #torn = "";
  #targets: string[];

  constructor(folder: string) {
    this.#folder = folder;
    this.paths = {
      source: join(folder, "json.log"),
      target: join(folder, "0.log"),
      position: join(folder, "position"),
    };
    this.#follower = new LogFollower(this.paths);
    this.#targets = [this.paths.target];
  }

  #line(): string {
    const number = this.#written++;
    const log = number % 7 === 3 ? `piece ${number}` : `line ${number} ${"x".repeat((number * 37) % 200)}\n`;
    return `${JSON.stringify({ log, stream: "stdout", time: "2026-01-02T03:04:05.000000001Z" })}\n`;
  }

  async step(step: (typeof STEPS)[number]): Promise<void> {
    const { source, target, position } = this.paths;
    switch (step) {
      case "write": {
        const lines = Array.from({ length: 5 }, () => this.#line()).join("");
        await appendFile(source, this.#torn + lines);
        this.#torn = "";
        return;
      }
      case "tear": {
        // Half a line now, the rest with the next write.
        if (this.#torn !== "") return;
        const line = this.#line();
        await appendFile(source, line.slice(0, 10));
        this.#torn = line.slice(10);
        return;
      }
      case "pump":
        return await this.#follower.pump();
      case "engineRotates": {
        if (this.#torn !== "") return;
        // Docker keeps a few files; the follower must not have fallen behind them all.
        await this.#follower.pump();
        for (let n = ENGINE_FILES - 1; n >= 1; n--)
          await rename(`${source}.${n}`, `${source}.${n + 1}`).catch(() => undefined);
        await rename(source, `${source}.1`);
        return await writeFile(source, "");
      }
      case "kubeletRotates": {
        await this.#follower.pump();
        const old = `${target}.${String(this.#targets.length).padStart(4, "0")}`;
        await rename(target, old);
        this.#targets.splice(-1, 0, old);
        return await this.#follower.reopen();
      }
      case "restart":
        await this.#follower.close();
        this.#follower = new LogFollower(this.paths);
        return;
      case "crash": {
        // Killed after the CRI file was written and before the position was.
        await this.#follower.pump();
        const before = await readFile(position);
        const lines = Array.from({ length: 3 }, () => this.#line()).join("");
        await appendFile(source, this.#torn + lines);
        this.#torn = "";
        await this.#follower.pump();
        await this.#follower.close();
        await writeFile(position, before);
        this.#follower = new LogFollower(this.paths);
        return;
      }
      default:
        step satisfies never;
    }
  }

  async check(): Promise<void> {
    if (this.#torn !== "") await this.step("write");
    await this.#follower.pump();
    await this.#follower.close();
    const texts = await Promise.all(this.#targets.map((path) => readFile(path, "utf8")));
    const numbers = [...texts.join("").matchAll(/^\S+ stdout [FP] (?:line|piece) (\d+)/gm)].map((m) => Number(m[1]));
    assert.deepEqual(
      numbers,
      Array.from({ length: this.#written }, (_, i) => i),
    );
    assert.equal(texts.join("").split("\n").length - 1, this.#written, "nothing but whole lines");
    void this.#folder;
  }
}

test("LogFollower writes every line once and in order, whatever happens in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 25 }), async (steps) => {
      const folder = await mkdtemp(join(tmpdir(), "knarr-follower-"));
      try {
        const world = new LogWorld(folder);
        await world.step("write");
        for (const step of steps) await world.step(step);
        await world.check();
      } finally {
        await rm(folder, { recursive: true });
      }
    }),
    { numRuns: 150 },
  );
});

test("LogFollower reads what Docker rotated while it was away", async () => {
  const folder = await mkdtemp(join(tmpdir(), "knarr-follower-"));
  try {
    const world = new LogWorld(folder);
    await world.step("write");
    await world.step("pump");
    await world.step("restart");
    for (const n of [1, 2, 3]) {
      await world.step("write");
      for (let i = n; i >= 1; i--) {
        const from = i === 1 ? world.paths.source : `${world.paths.source}.${i - 1}`;
        await rename(from, `${world.paths.source}.${i}`);
      }
      await writeFile(world.paths.source, "");
    }
    await world.step("write");
    await world.check();
  } finally {
    await rm(folder, { recursive: true });
  }
});
