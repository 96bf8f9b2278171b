/** The contract on a real containerd, and what only a restart of it shows. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { openRuntime } from "../src/open-runtime.ts";
import { RuntimeError } from "../src/runtime-error.ts";
import { runtimeContract } from "./runtime-contract.ts";

if (await isolatedTest(import.meta)) {
  const cgroupParent = `/knarr-test-${process.ppid}-${Date.now()}`;
  let containerd: TestContainerd;
  before(async () => {
    containerd = await startContainerd({ subnet: "10.88.7.0/24" });
  });
  after(async () => {
    await containerd.stop();
    await removeCgroups(cgroupParent);
  });

  runtimeContract(async () => openRuntime(containerd.endpoint), { cgroupParent });

  test("a call fails with Unavailable while containerd is away, and the next works when it is back", async () => {
    const runtime = await openRuntime(containerd.endpoint);
    await runtime.version();
    await containerd.kill();
    await assert.rejects(runtime.version(), (error) => error instanceof RuntimeError && error.code === "Unavailable");
    await containerd.restart();
    for (let attempt = 0; ; attempt++) {
      const version = await runtime.version().catch(() => undefined);
      if (version !== undefined) break;
      assert.ok(attempt < 600, "never came back");
      await sleep(100);
    }
    runtime.close();
  });
}
