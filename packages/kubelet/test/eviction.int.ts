/** A node under pressure, with real hogs below limits that are far from the machine's own. */
import assert from "node:assert/strict";
import { totalmem } from "node:os";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const MEBI = 2 ** 20;
/** What all pods together may use; eviction keeps 100Mi of it free. */
const PODS_BYTES = 320 * MEBI;

/** Holds so many mebibytes of its own memory and waits. */
const hog = (mebibytes: number) =>
  `awk 'BEGIN { s = sprintf("%1048000s", "x"); for (i = 0; i < ${mebibytes}; i++) a[i] = s i; system("sleep 1000") }'`;

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({
      subnet: "10.88.31.0/24",
      args: [`--system-reserved=memory=${totalmem() - PODS_BYTES}`, "--eviction-pressure-transition-period=10s"],
    });
  });
  after(async () => {
    await node.stop();
  });

  const nodeCondition = async (type: string) => {
    const { status } = await node.client.get(core.nodes, { namespace: "", name: NODE });
    return status?.conditions?.find((c) => c.type === type);
  };

  const untilNode = async (type: string, status: string) => {
    for (let attempt = 0; attempt < 1200; attempt++) {
      const found = await nodeCondition(type);
      if (found?.status === status) return found;
      await sleep(50);
    }
    return assert.fail(`${type} never became ${status}`);
  };

  const failed = (name: string) => node.until(name, "failed", (pod) => pod.status?.phase === "Failed");

  test("who uses more memory than it asked for is evicted, in upstream's words; who keeps to it stays", async () => {
    const modest = { ...shell("main", WAIT), resources: { requests: { memory: "60Mi" } } };
    await node.create("modest", { containers: [modest] });
    await node.ready("modest");
    await node.create("hog", {
      containers: [{ ...shell("main", hog(240)), resources: { requests: { memory: "10Mi" } } }],
      terminationGracePeriodSeconds: 30,
    });
    const pod = await failed("hog");
    assert.equal(pod.status?.reason, "Evicted");
    assert.match(
      pod.status?.message ?? "",
      /^The node was low on resource: memory\. Threshold quantity: 100Mi, available: \d+[KM]i\. Container main was using \d+[KM]i, request is 10Mi, has larger consumption of memory\. $/,
    );
    const disruption = condition(pod, "DisruptionTarget");
    assert.deepEqual([disruption?.status, disruption?.reason], ["True", "TerminationByKubelet"]);
    assert.equal(disruption?.message, pod.status?.message);
    assert.equal((await node.untilEvent("hog", "Evicted")).message, pod.status?.message);
    assert.equal(statusOf(pod, "main").state?.running, undefined);
    assert.equal(condition(await node.get("modest"), "Ready")?.status, "True");
    const pressure = await untilNode("MemoryPressure", "True");
    assert.equal(pressure.reason, "KubeletHasInsufficientMemory");
    await node.untilEvent(NODE, "EvictionThresholdMet", "Attempting to reclaim memory");
    await node.untilEvent(NODE, "NodeHasInsufficientMemory");
  });

  test("a node under memory pressure refuses pods that ask for nothing, until the transition period is over", async () => {
    await node.create("hog-2", {
      containers: [{ ...shell("main", hog(240)), resources: { requests: { memory: "10Mi" } } }],
    });
    await untilNode("MemoryPressure", "True");
    await node.create("late", { containers: [shell("main", WAIT)] });
    const late = await failed("late");
    assert.equal(late.status?.reason, "Evicted");
    assert.equal(late.status?.message, "Pod was rejected: The node had condition: [MemoryPressure]. ");
    await failed("hog-2");
    const relieved = await untilNode("MemoryPressure", "False");
    assert.equal(relieved.message, "kubelet has sufficient memory available");
    await node.create("later", { containers: [shell("main", WAIT)] });
    await node.ready("later");
    for (const name of ["hog", "hog-2", "late", "later", "modest"]) await node.remove(name);
  });

  test("pods that write more than they may are evicted: a volume's size, a container's storage", async () => {
    const write = (path: string) => `dd if=/dev/zero of=${path} bs=1M count=4; ${WAIT}`;
    await node.create("volume", {
      containers: [{ ...shell("main", write("/data/x")), volumeMounts: [{ name: "data", mountPath: "/data" }] }],
      volumes: [{ name: "data", emptyDir: { sizeLimit: "2Mi" } }],
    });
    const limits = { "ephemeral-storage": "2Mi" };
    await node.create("layer", { containers: [{ ...shell("main", write("/x")), resources: { limits } }] });
    const volume = await failed("volume");
    assert.equal(volume.status?.reason, "Evicted");
    assert.equal(volume.status?.message, 'Usage of EmptyDir volume "data" exceeds the limit "2Mi". ');
    const layer = await failed("layer");
    assert.equal(
      layer.status?.message,
      "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
    );
    for (const name of ["volume", "layer"]) await node.remove(name);
  });
}
