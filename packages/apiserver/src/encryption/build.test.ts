import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { reloadEncryption } from "./build.ts";
import type { EncryptionConfig } from "./configuration.ts";

const log = createLogger({ name: "test", level: "silent" });

function fileWith(keyName: string): string {
  const secret = Buffer.alloc(32, keyName).toString("base64");
  return `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aesgcm: {keys: [{name: ${keyName}, secret: ${secret}}]}
  - identity: {}
`;
}

/** File reads end in their own time: turns of the event loop until `check` holds. */
async function until(clock: FakeClock, check: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000 && !check(); turn++) await clock.advance(0);
}

test("reloadEncryption() takes up a changed file within a minute, and keeps the old one while the new is wrong", async () => {
  const dir = await mkdtemp(join(tmpdir(), "knarr-encryption-"));
  const path = join(dir, "encryption.yaml");
  await writeFile(path, fileWith("one"));
  const clock = new FakeClock();
  const stop = new AbortController();
  const taken: EncryptionConfig[] = [];
  const store = { reconfigure: (config: EncryptionConfig) => taken.push(config) };
  const done = reloadEncryption(store, { path, clock, log }, stop.signal);
  await until(clock, () => clock.pending === 1);
  const pass = async (text: string, wanted: number) => {
    await writeFile(path, text);
    await clock.advance(60_000);
    await until(clock, () => clock.pending === 1);
    assert.equal(taken.length, wanted);
  };
  await pass(fileWith("one"), 0);
  await pass(fileWith("two"), 1);
  await pass("kind: Nonsense", 1);
  await pass(fileWith("three"), 2);
  stop.abort();
  await done;
  await rm(dir, { recursive: true });
});
