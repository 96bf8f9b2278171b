/**
 * What pods have alone. Extended resources: a device plugin registers, pods get its devices, and both live through
 * restarts of the other. Processors: Guaranteed pods get whole ones, the others keep off them.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { formatCpuSet } from "../src/core/cpu-set.ts";
import { parseCpuState } from "../src/cpu-manager/cpu-state.ts";
import { readCpuTopology } from "../src/cpu-manager/cpu-topology.ts";
import { FakePlugin, podResources, register } from "./fake-device-plugin.ts";
import { NODE, PATIENCE_MS, shell, TestNode, WAIT } from "./test-node.ts";

const THING = "example.com/thing";
const healthy = (...ids: string[]) => ids.map((ID) => ({ ID, health: "Healthy" as const }));

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let directory: string;
  let plugin: FakePlugin;
  const started: string[][] = [];
  const allCpus = (await readCpuTopology()).map((cpu) => cpu.id);
  const oneCpu = allCpus.length > 1 ? false : "with one processor nobody can have one alone";

  const startPlugin = async () => {
    const answer = (ids: readonly string[]) => ({
      envs: { THINGS: ids.join(","), GREETING: "from the plugin" },
      mounts: [{ containerPath: "/thing.conf", hostPath: join(node.kubelet.directory, "thing.conf"), readOnly: true }],
      devices: [{ containerPath: "/dev/thing", hostPath: "/dev/null", permissions: "rwm" }],
      annotations: { "example.com/things": ids.join(",") },
    });
    const preferred = (available: readonly string[], size: number) => available.toReversed().slice(0, size);
    const onPreStart = (ids: readonly string[]) => void started.push([...ids]);
    return FakePlugin.start({ directory, resource: THING, answer, preferred, onPreStart }, healthy("a", "b"));
  };
  const amounts = async () => {
    const { status } = await node.client.get(core.nodes, { namespace: "", name: NODE });
    return [status?.capacity?.[THING], status?.allocatable?.[THING]];
  };
  const untilAmounts = async (...want: (string | undefined)[]) => {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(50)) {
      const now = await amounts();
      if (now[0] === want[0] && now[1] === want[1]) return;
    }
    assert.deepEqual(await amounts(), want);
  };
  const asking = (things: number, script = WAIT) => ({
    ...shell("main", script),
    resources: { limits: { [THING]: String(things) } },
  });
  const said = (pod: string, what: string, container = "main") =>
    node.kubectl("exec", pod, "-c", container, "--", "sh", "-c", `echo ${what}`);
  const cpuState = async () => parseCpuState(await readFile(join(node.kubelet.rootDir, "cpu_manager_state"), "utf8"));
  const runsOn = async (pod: string) =>
    (await node.exec(pod, "sed", "-n", "s/^Cpus_allowed_list:[^0-9]*//p", "/proc/self/status")).trim();
  const untilRunsOn = async (pod: string, want: string) => {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(100)) {
      if ((await runsOn(pod)) === want) return;
    }
    assert.equal(await runsOn(pod), want);
  };

  before(async () => {
    const args = ["--cpu-manager-policy=static", "--reserved-cpus=0"];
    node = await TestNode.start({ subnet: "10.88.71.0/24", args });
    directory = join(node.kubelet.rootDir, "device-plugins");
    await writeFile(join(node.kubelet.directory, "thing.conf"), "made for things\n");
  });
  after(async () => {
    plugin?.kill();
    await node.stop();
  });

  test("a registration that is not right is refused, with why", async () => {
    const request = { version: "v1beta1", endpoint: "none.sock", resourceName: THING };
    await assert.rejects(register(directory, { ...request, version: "v2" }), {
      code: 2,
      details: 'requested API version "v2" is not supported by kubelet. Supported version is ["v1beta1"]',
    });
    await assert.rejects(register(directory, { ...request, resourceName: "cpu" }), {
      code: 2,
      details: 'the ResourceName "cpu" is invalid',
    });
  });

  test("a plugin's devices show in the node, and a pod gets one with all that belongs to it", async () => {
    plugin = await startPlugin();
    await plugin.register();
    await untilAmounts("2", "2");
    await node.create("first", {
      containers: [{ ...asking(1), env: [{ name: "GREETING", value: "from the pod" }] }],
    });
    await node.ready("first");
    assert.deepEqual([plugin.allocated, started], [[["b"]], [["b"]]]);
    assert.equal(await said("first", "$THINGS $GREETING"), "b from the pod\n");
    assert.equal(await node.exec("first", "cat", "/thing.conf"), "made for things\n");
    await node.exec("first", "test", "-c", "/dev/thing");
    await node.exec("first", "sh", "-c", "echo gone > /dev/thing");
  });

  test("the pod-resources API tells who has what, and what there is", async () => {
    const socket = join(node.kubelet.rootDir, "pod-resources", "kubelet.sock");
    const device = (id: string) => ({ resourceName: THING, deviceIds: [id], topology: null });
    const first = {
      name: "first",
      namespace: "default",
      containers: [{ name: "main", devices: [device("b")], cpuIds: [], memory: [] }],
    };
    assert.deepEqual(await podResources(socket, "list"), { podResources: [first] });
    const asked = { podName: "first", podNamespace: "default" };
    assert.deepEqual(await podResources(socket, "get", asked), { podResources: first });
    await assert.rejects(podResources(socket, "get", { podName: "none", podNamespace: "default" }), {
      code: 2,
      details: "pod none in namespace default not found",
    });
    const cpuIds = allCpus.filter((cpu) => cpu !== 0);
    const all = { devices: [device("a"), device("b")], cpuIds, memory: [] };
    assert.deepEqual(await podResources(socket, "getAllocatableResources"), all);
  });

  test("a pod that asks for more than is left fails with upstream's reason and message", async () => {
    await node.create("greedy", { containers: [asking(2)] });
    const { status } = await node.failed("greedy");
    assert.deepEqual(
      [status?.reason, status?.message],
      [
        "UnexpectedAdmissionError",
        `Pod was rejected: Allocate failed due to requested number of devices unavailable for ${THING}. Requested: 2, Available: 1, which is unexpected`,
      ],
    );
    await node.untilEvent("greedy", "UnexpectedAdmissionError");
    await node.remove("greedy");
  });

  test("a Guaranteed pod that asks for a whole processor has it alone; the others leave it", {
    skip: oneCpu,
  }, async () => {
    const amounts = { cpu: "1", memory: "64Mi" };
    const container = { ...shell("main", WAIT), resources: { requests: amounts, limits: amounts } };
    const { metadata } = await node.create("alone", { containers: [container] });
    await node.ready("alone");
    const state = await cpuState();
    const own = state.assignments.get(metadata.uid ?? "")?.get("main") ?? [];
    assert.equal(own.length, 1);
    assert.ok(!own.includes(0), "the reserved one is nobody's");
    assert.deepEqual(
      [...state.shared, ...own].toSorted((a, b) => a - b),
      allCpus,
    );
    assert.equal(await runsOn("alone"), formatCpuSet(own));
    await untilRunsOn("first", formatCpuSet(state.shared));
    const socket = join(node.kubelet.rootDir, "pod-resources", "kubelet.sock");
    assert.deepEqual(await podResources(socket, "get", { podName: "alone", podNamespace: "default" }), {
      podResources: {
        name: "alone",
        namespace: "default",
        containers: [{ name: "main", devices: [], cpuIds: own, memory: [] }],
      },
    });

    const more = { cpu: String(allCpus.length - 1), memory: "64Mi" };
    const greedy = { ...shell("main", WAIT), resources: { requests: more, limits: more } };
    await node.create("greedier", { containers: [greedy] });
    const { status } = await node.failed("greedier");
    const [requested, available] = [allCpus.length - 1, allCpus.length - 2];
    assert.deepEqual(
      [status?.reason, status?.message],
      [
        "UnexpectedAdmissionError",
        `Pod was rejected: Allocate failed due to not enough cpus available to satisfy request: requested=${requested}, available=${available}, which is unexpected`,
      ],
    );
    await node.remove("greedier");
  });

  test("a kubelet that starts anew knows who has what; the plugin registers again", async () => {
    const before = await node.get("first");
    await node.kubelet.restart();
    await untilAmounts("0", "0");
    // Its socket went with everything else in the folder: plugins that see that start anew.
    plugin.kill();
    plugin = await startPlugin();
    await plugin.register();
    await untilAmounts("2", "2");
    await node.create("second", { containers: [asking(1)] });
    await node.ready("second");
    assert.equal(await said("second", "$THINGS"), "a\n");
    const { status } = await node.get("first");
    assert.equal(status?.containerStatuses?.[0]?.containerID, before.status?.containerStatuses?.[0]?.containerID);
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 0);
  });

  test("a container that ends and runs again has the same devices", async () => {
    // Which ends the exec too, one way or the other.
    await node.exec("first", "sh", "-c", "kill 1").catch(() => undefined);
    await node.until("first", "runs again", (pod) => {
      const [main] = pod.status?.containerStatuses ?? [];
      return main?.restartCount === 1 && main.ready;
    });
    assert.equal(await said("first", "$THINGS"), "b\n");
    assert.deepEqual(started.at(-1), ["b"]);
  });

  test("a processor that a pod had alone stays its own through restarts, and is everybody's after it", {
    skip: oneCpu,
  }, async () => {
    const { shared } = await cpuState();
    assert.equal(shared.length, allCpus.length - 1);
    assert.equal(await runsOn("second"), formatCpuSet(shared));
    await node.remove("alone");
    assert.deepEqual((await cpuState()).shared, allCpus);
    await untilRunsOn("first", formatCpuSet(allCpus));
  });

  test("devices that fall ill are not allocatable; of a plugin that dies, none is", async () => {
    plugin.tell([{ ID: "a", health: "Unhealthy" }, ...healthy("b", "c", "d")]);
    await untilAmounts("4", "3");
    plugin.kill();
    await untilAmounts("4", "0");
    await node.create("late", { containers: [asking(1)] });
    const { status } = await node.failed("late");
    assert.equal(
      status?.message,
      `Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices ${THING}, which is unexpected`,
    );
    await node.remove("late");
    plugin = await startPlugin();
    await plugin.register();
    await untilAmounts("2", "2");
  });

  test("what a pod had is free when it is gone; an init container's device goes on to the others", async () => {
    for (const name of ["first", "second"]) await node.remove(name);
    const init = { ...asking(2, "echo $THINGS > /shared/init"), name: "init" };
    const volumeMounts = [{ name: "shared", mountPath: "/shared" }];
    await node.create("both", {
      initContainers: [{ ...init, volumeMounts }],
      containers: [
        { ...asking(1), volumeMounts },
        { ...asking(1), name: "other" },
      ],
      volumes: [{ name: "shared", emptyDir: {} }],
    });
    await node.ready("both");
    assert.equal(await node.exec("both", "cat", "/shared/init"), "b,a\n");
    const main = await said("both", "$THINGS");
    const other = await said("both", "$THINGS", "other");
    assert.deepEqual([main, other].toSorted(), ["a\n", "b\n"]);
    await node.remove("both");
  });
}
