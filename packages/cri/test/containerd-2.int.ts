/** The contract on a real containerd 2.x, and what it tells of itself. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { CONTAINERD_2, startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { openRuntime } from "../src/open-runtime.ts";
import { runtimeContract } from "./runtime-contract.ts";

if (await isolatedTest(import.meta)) {
  const cgroupParent = `/knarr-test-${process.ppid}-${Date.now()}`;
  let containerd: TestContainerd;
  before(async () => {
    containerd = await startContainerd({ subnet: "10.88.71.0/24", containerd: CONTAINERD_2 });
  });
  after(async () => {
    await containerd.stop();
    await removeCgroups(cgroupParent);
  });

  runtimeContract(async () => openRuntime(containerd.endpoint), { cgroupParent });

  test("status() and cgroupDriver() tell what containerd 2.x can", async () => {
    const runtime = await openRuntime(containerd.endpoint);
    assert.match((await runtime.version()).runtimeVersion, /^2\./);
    const { runtimeHandlers, supplementalGroupsPolicy } = await runtime.status();
    const features = { recursiveReadOnlyMounts: true, userNamespaces: true };
    const byName = (name: string) => runtimeHandlers.find((h) => h.name === name)?.features;
    assert.deepEqual([byName(""), byName("runc")], [features, features]);
    assert.equal(supplementalGroupsPolicy, true);
    assert.equal(await runtime.cgroupDriver(), "cgroupfs");
    runtime.close();
  });
}
