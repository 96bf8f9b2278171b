/** A full disk below the pods' folders, a kubelet that dies while it evicts, and a machine that starts anew. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { condition, NODE, PATIENCE_MS, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const run = promisify(execFile);

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let base: string;
  before(async () => {
    base = await mkdtemp(join(tmpdir(), "knarr-disk-"));
    const rootDir = join(base, "kubelet");
    await mkdir(rootDir);
    // A disk of its own, so that nobody else's can run full.
    await run("mount", ["-t", "tmpfs", "-o", "size=64m,nr_inodes=4096", "tmpfs", rootDir]);
    node = await TestNode.start({
      subnet: "10.88.34.0/24",
      args: [
        `--root-dir=${rootDir}`,
        "--eviction-hard=nodefs.available<50%",
        "--eviction-pressure-transition-period=10s",
      ],
    });
  });
  after(async () => {
    await node.stop();
    await run("umount", ["-R", "-l", join(base, "kubelet")]).catch(() => undefined);
    await rm(base, { recursive: true, force: true });
  });

  const untilNode = async (type: string, status: string) => {
    for (let attempt = 0; attempt < 2400; attempt++) {
      const { status: now } = await node.client.get(core.nodes, { namespace: "", name: NODE });
      const found = now?.conditions?.find((c) => c.type === type);
      if (found?.status === status) return found;
      await sleep(50);
    }
    return assert.fail(`${type} never became ${status}`);
  };
  const failed = (name: string) => node.until(name, "failed", (pod) => pod.status?.phase === "Failed");
  /** A pod's folder goes a moment after its object. */
  const untilFolders = async (count: number) => {
    let names: string[] = [];
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
      names = await readdir(join(base, "kubelet", "pods")).catch(() => []);
      if (names.length === count) return;
      await sleep(50);
    }
    assert.fail(`${count} pods should have a folder, not ${names.join(", ")}`);
  };

  const writer = (mebibytes: number) => ({
    containers: [
      {
        ...shell("main", `dd if=/dev/zero of=/data/x bs=1M count=${mebibytes}; ${WAIT}`),
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
    ],
    volumes: [{ name: "data", emptyDir: {} }],
  });

  test("who fills the node's disk is evicted, others stay, and nobody comes in meanwhile", async () => {
    await node.create("modest", { containers: [shell("main", WAIT)] });
    await node.ready("modest");
    await node.create("writer", writer(45));
    const pod = await failed("writer");
    assert.equal(pod.status?.reason, "Evicted");
    assert.match(
      pod.status?.message ?? "",
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: 32Mi, available: \d+[KM]i\. /,
    );
    assert.equal(condition(pod, "DisruptionTarget")?.reason, "TerminationByKubelet");
    const pressure = await untilNode("DiskPressure", "True");
    assert.equal(pressure.message, "kubelet has disk pressure");
    await node.create("late", { containers: [shell("main", WAIT)] });
    assert.equal((await failed("late")).status?.message, "Pod was rejected: The node had condition: [DiskPressure]. ");
    assert.equal(condition(await node.get("modest"), "Ready")?.status, "True");
    await untilNode("DiskPressure", "False");
    for (const name of ["writer", "late"]) await node.remove(name);
  });

  test("a kubelet that is killed while it evicts finishes it when it is back", async () => {
    await node.create("writer-2", { ...writer(45), terminationGracePeriodSeconds: 30 });
    await node.untilEvent("writer-2", "Evicted");
    await node.kubelet.restart();
    const pod = await failed("writer-2");
    assert.equal(pod.status?.reason, "Evicted");
    assert.equal(statusOf(pod, "main").state?.running, undefined);
    await untilNode("DiskPressure", "False");
    assert.equal(condition(await node.get("modest"), "Ready")?.status, "True");
    await node.remove("writer-2");
    await untilFolders(1);
  });

  test("after a reboot (no process, no mount, the files there) pods run again and everything reported is true", async () => {
    await node.create("keeper", {
      containers: [
        {
          ...shell("main", `echo start >>/data/starts; ${WAIT}`),
          volumeMounts: [
            { name: "data", mountPath: "/data" },
            { name: "memory", mountPath: "/memory" },
          ],
        },
      ],
      volumes: [
        { name: "data", emptyDir: {} },
        { name: "memory", emptyDir: { medium: "Memory" } },
      ],
    });
    await node.create("job", { containers: [shell("main", "exit 0")], restartPolicy: "Never" });
    const old = await node.ready("keeper");
    await node.until("job", "is over", (pod) => pod.status?.phase === "Succeeded");
    await node.kubelet.kill();
    await node.containerd.kill();
    const { stdout } = await run("pgrep", ["-f", `containerd-shim.*${node.containerd.directory}`]).catch(() => ({
      stdout: "",
    }));
    for (const shim of stdout.split("\n").filter((line) => line !== "")) {
      const { stdout: children } = await run("pgrep", ["-P", shim]).catch(() => ({ stdout: "" }));
      for (const pid of [shim, ...children.split("\n")]) if (pid !== "") process.kill(Number(pid), "SIGKILL");
    }
    const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
    const own = (path: string) => path.startsWith(join(base, "kubelet", "pods")) || path.includes("/io.containerd.");
    for (const path of mounts.filter(own).toReversed()) await run("umount", ["-l", path]);
    await node.containerd.restart();
    await node.kubelet.restart();
    const pod = await node.until(
      "keeper",
      "runs again",
      (p) => condition(p, "Ready")?.status === "True" && statusOf(p, "main").restartCount === 1,
    );
    assert.notEqual(statusOf(pod, "main").containerID, statusOf(old, "main").containerID);
    await node.untilExec("keeper", ["cat", "/data/starts"], "start\nstart\n");
    assert.match(await node.exec("keeper", "cat", "/proc/mounts"), / \/memory tmpfs /);
    assert.equal((await node.get("job")).status?.phase, "Succeeded");
    assert.equal(condition(await node.ready("modest"), "Ready")?.status, "True");
    for (const name of ["keeper", "job", "modest"]) await node.remove(name);
    await untilFolders(0);
  });
}
