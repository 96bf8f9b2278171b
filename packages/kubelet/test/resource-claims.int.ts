/** Resource claims on a real containerd 2.x, whose CDI brings the devices in: a driver plugs in, pods get what it prepares. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { core, resource } from "@knarr/api/generated/resources.ts";
import type { Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceClaim } from "@knarr/api/generated/types/resource-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { CONTAINERD_2 } from "@knarr/testkit/start-containerd.ts";
import { FakeDriver } from "./fake-dra-driver.ts";
import { NODE, PATIENCE_MS, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const DRIVER = "thing.example";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let driver: FakeDriver;
  const refused = new Set<string>();

  before(async () => {
    node = await TestNode.start({ subnet: "10.88.73.0/24", containerd: CONTAINERD_2 });
    const specs = join(node.containerd.directory, "cdi");
    await mkdir(specs, { recursive: true });
    const device = (name: string) => ({ name, containerEdits: { env: [`THING=${name}`] } });
    const spec = { cdiVersion: "0.6.0", kind: "example.com/thing", devices: [device("a"), device("b")] };
    await writeFile(join(specs, "thing.json"), JSON.stringify(spec));
    const prepare = (claim: string) =>
      refused.has(claim) ? new Error("out of things") : [`example.com/thing=${claim}`];
    driver = new FakeDriver({ rootDir: node.kubelet.rootDir, name: DRIVER, prepare });
  });
  after(async () => {
    await driver.stop();
    await node.stop();
  });

  const until = async (what: string, is: () => boolean | Promise<boolean>) => {
    for (const deadline = Date.now() + PATIENCE_MS; !(await is()); await sleep(50)) {
      assert.ok(Date.now() < deadline, `${what}; driver: ${driver.calls.join(", ")}`);
    }
  };
  const untilRefused = (pod: string, why: RegExp) =>
    until(`an event of ${pod} that says ${why}`, async () => {
      const events = await node.events(pod);
      return events.some((e) => e.reason === "FailedPrepareDynamicResources" && why.test(e.message ?? ""));
    });
  const count = (call: string) => driver.calls.filter((c) => c === call).length;

  /** A claim that the scheduler gave a device. */
  const claimed = async (name: string) => {
    const requests = [{ name: "r", exactly: { deviceClassName: "things", allocationMode: "ExactCount", count: 1 } }];
    const claim: ResourceClaim = { metadata: { name, namespace: "default" }, spec: { devices: { requests } } };
    const made = await node.client.create(resource.resourceclaims, claim);
    const results = [{ driver: DRIVER, pool: "pool", device: name, request: "r" }];
    const status = { ...made.status, allocation: { devices: { results } } };
    return await node.client.update(resource.resourceclaims, { ...made, status }, { subresource: "status" });
  };
  const reserve = async (name: string, ...pods: Pod[]) => {
    const claim = await node.client.get(resource.resourceclaims, { namespace: "default", name });
    const reservedFor = pods.map(({ metadata }) => ({
      ...{ resource: "pods", name: metadata.name ?? "", uid: metadata.uid ?? "" },
    }));
    const reserved = { ...claim, status: { ...claim.status, reservedFor } };
    await node.client.update(resource.resourceclaims, reserved, { subresource: "status" });
  };
  const using = (claim: string): PodSpec => ({
    resourceClaims: [{ name: "thing", resourceClaimName: claim }],
    containers: [{ ...shell("main", WAIT), resources: { claims: [{ name: "thing" }] } }, shell("other", WAIT)],
  });
  const thingOf = async (pod: string, container: string) =>
    (await node.kubectl("exec", pod, "-c", container, "--", "sh", "-c", 'echo "$THING"')).trim();

  test("what a driver offered before the kubelet started is taken back, for nobody knows whether the driver comes back", async () => {
    const spec = { driver: DRIVER, nodeName: NODE, pool: { name: "old", generation: 1, resourceSliceCount: 1 } };
    await node.client.create(resource.resourceslices, { metadata: { name: "old" }, spec: { ...spec, devices: [] } });
    await node.kubelet.restart();
    const names = async () =>
      (await node.client.list(resource.resourceslices, {})).items.map(({ metadata }) => metadata.name);
    await until("the slice is gone", async () => (await names()).length === 0);
  });

  test("a pod waits until its claim is reserved and the driver is there, and then has the device where it asked for it", async () => {
    await claimed("a");
    const pod = await node.create("first", using("a"));
    await untilRefused("first", /is not allowed to use ResourceClaim a/);
    await reserve("a", pod);
    await untilRefused("first", /DRA driver thing.example is not registered/);
    await driver.start();
    await node.ready("first");
    assert.deepEqual([await thingOf("first", "main"), await thingOf("first", "other")], ["a", ""]);
    assert.deepEqual(driver.calls, ["registered", "prepare a"]);
  });

  test("a restarted kubelet finds the driver again, and a restarted container has its device", async () => {
    await node.kubelet.restart();
    await until("the driver is registered again", () => count("registered") >= 2);
    // Which ends the exec too, one way or the other.
    await node.exec("first", "sh", "-c", "kill 1").catch(() => undefined);
    await node.until("first", "runs again", (p) => statusOf(p, "main").restartCount === 1 && statusOf(p, "main").ready);
    assert.equal(await thingOf("first", "main"), "a");
    assert.equal(count("prepare a"), 1);
  });

  test("a claim that two pods share is unprepared after the last of them", async () => {
    const [first, second] = [await node.get("first"), await node.create("second", using("a"))];
    await reserve("a", first, second);
    await node.ready("second");
    await node.remove("first");
    assert.equal(count("unprepare a"), 0);
    await node.remove("second");
    assert.equal(count("unprepare a"), 1);
    const state = await readFile(join(node.kubelet.rootDir, "dra_manager_state"), "utf8");
    assert.match(state, /Entries\\":\[\]/);
  });

  test("a pod whose claim the driver refuses says so, and starts when it no longer does", async () => {
    await claimed("b");
    refused.add("b");
    await reserve("b", await node.create("third", using("b")));
    await untilRefused("third", /NodePrepareResources failed for ResourceClaim b: out of things/);
    refused.delete("b");
    await node.ready("third");
    assert.equal(await thingOf("third", "main"), "b");
  });

  test("a pod does not end before its driver, which is away, has taken its devices back", async () => {
    await driver.stop();
    await node.client.delete(core.pods, { namespace: "default", name: "third" });
    await until("nothing of it runs", async () => {
      const running = await node.runtime.listContainers({ state: "running" });
      return running.every(({ labels }) => labels["io.kubernetes.pod.name"] !== "third");
    });
    assert.equal((await node.get("third")).metadata.name, "third");
    await driver.start();
    await node.gone("third");
    assert.equal(count("unprepare b"), 1);
  });
}
