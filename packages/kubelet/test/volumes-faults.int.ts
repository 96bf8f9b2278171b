/** Volumes through crashes: the kubelet dies at any moment, the machine reboots, somebody holds a mount. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { Volume } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { mountsBelow, unmountBelow } from "../src/adapters/mounts.ts";
import { NODE, shell, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let [disks, pods] = ["", ""];
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.16.0/24" });
    disks = join(node.containerd.directory, "disks");
    pods = join(node.kubelet.rootDir, "pods");
    const metadata = (name: string) => ({ name, namespace: "default" });
    await node.client.create(core.configmaps, { metadata: metadata("cfg"), data: { k: "v" } });
    await node.client.create(core.secrets, { metadata: metadata("sec"), stringData: { word: "hush" } });
  });
  after(async () => {
    await node.stop();
  });

  /** A claim bound to a folder below `disks`, as the binder would leave it. */
  const claim = async (name: string): Promise<string> => {
    const path = join(disks, name);
    await mkdir(path, { recursive: true });
    const modes = { accessModes: ["ReadWriteOnce"], volumeMode: "Filesystem", storageClassName: "" };
    const made = await node.client.create(core.persistentvolumeclaims, {
      metadata: { name, namespace: "default" },
      spec: { ...modes, volumeName: `pv-${name}`, resources: { requests: { storage: "1Mi" } } },
    });
    const term = { key: "kubernetes.io/hostname", operator: "In", values: [NODE] };
    await node.client.create(core.persistentvolumes, {
      metadata: { name: `pv-${name}` },
      spec: {
        ...modes,
        capacity: { storage: "1Mi" },
        claimRef: { kind: "PersistentVolumeClaim", namespace: "default", name, uid: made.metadata.uid },
        local: { path },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [term] }] } },
      },
    });
    const status = { phase: "Bound", accessModes: modes.accessModes, capacity: { storage: "1Mi" } };
    await node.client.update(core.persistentvolumeclaims, { ...made, status }, { subresource: "status" });
    return path;
  };
  /** One volume of every kind that is mounted, each in its container, the claim's also by a sub-path. */
  const everything = (claimName: string, script: string) => {
    const volumes: Volume[] = [
      { name: "cfg", configMap: { name: "cfg" } },
      { name: "sec", secret: { secretName: "sec" } },
      { name: "mem", emptyDir: { medium: "Memory" } },
      { name: "dir", emptyDir: {} },
      { name: "pvc", persistentVolumeClaim: { claimName } },
    ];
    const volumeMounts = [
      ...volumes.map(({ name }) => ({ name, mountPath: `/v/${name}` })),
      { name: "pvc", mountPath: "/v/sub", subPath: "sub/path" },
    ];
    return { volumes, containers: [{ ...shell("main", script), volumeMounts }] };
  };
  const nothingLeft = async (what: string) => {
    // Housekeeping looks through the disks at least once a minute.
    const deadline = Date.now() + 120_000;
    for (;;) {
      const left = [...(await readdir(pods)), ...(await mountsBelow(pods))];
      if (left.length === 0) return;
      assert.ok(Date.now() < deadline, `${what}: left over: ${left.join(", ")}\n${node.kubelet.output().slice(-3000)}`);
      await sleep(100);
    }
  };

  test("a kubelet killed in the middle of mounts and unmounts leaves nothing, and every claim its data", async () => {
    const path = await claim("often");
    for (let round = 0; round < 3; round++) {
      const name = `often-${round}`;
      await node.create(name, everything("often", `echo ${round} >> /v/pvc/log; touch /v/sub/f; ${WAIT}`));
      // A different moment each time, from before the first mount to after the last.
      await sleep(round * 200);
      await node.kubelet.restart();
      await node.ready(name);
      await node.client.delete(core.pods, { namespace: "default", name });
      await sleep(round * 130);
      await node.kubelet.restart();
      await node.gone(name);
    }
    await nothingLeft("after the rounds");
    const lines = (await readFile(join(path, "log"), "utf8")).trim().split("\n");
    assert.deepEqual([...new Set(lines)], ["0", "1", "2"]);
    assert.deepEqual(await readdir(join(path, "sub/path")), ["f"]);
  });

  test("after a reboot a pod finds its volumes again: what was on disk is there, what was in memory is made anew", async () => {
    const path = await claim("boot");
    const script = `echo x >> /v/dir/log; echo x >> /v/pvc/log; echo x >> /v/mem/log; ${WAIT}`;
    await node.create("boot", { ...everything("boot", script), restartPolicy: "Always" });
    await node.ready("boot");
    await node.kubelet.kill();
    for (const sandbox of await node.runtime.listSandboxes()) await node.runtime.stopSandbox(sandbox.id);
    await unmountBelow(pods);
    await node.kubelet.restart();
    await node.until("boot", "runs again", (p) => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);
    await node.ready("boot");
    const script2 =
      "until test -s /v/mem/log; do sleep 0.1; done; cat /v/dir/log /v/pvc/log | wc -l; cat /v/mem/log | wc -l; cat /v/cfg/k /v/sec/word; df /v/sec | grep -c tmpfs";
    assert.equal(await node.exec("boot", "sh", "-c", script2), "4\n1\nvhush1\n");
    assert.equal(await readFile(join(path, "log"), "utf8"), "x\nx\n");
    await node.remove("boot");
    await nothingLeft("after the reboot");
  });

  test("mounts that somebody holds open do not keep a pod from going, nor lose data", async () => {
    const path = await claim("held");
    await node.create("held", everything("held", `echo kept > /v/pvc/f; ${WAIT}`));
    const { metadata } = await node.ready("held");
    const volumes = join(pods, metadata.uid ?? "", "volumes");
    const holders = [
      "kubernetes.io~local-volume/pv-held",
      "kubernetes.io~secret/sec",
      "kubernetes.io~empty-dir/mem",
    ].map((volume) => spawn("sleep", ["1000"], { cwd: join(volumes, volume), stdio: "ignore" }));
    try {
      await node.remove("held");
      await nothingLeft("with holders");
    } finally {
      for (const holder of holders) {
        holder.kill("SIGKILL");
        await once(holder, "exit");
      }
    }
    assert.equal(await readFile(join(path, "f"), "utf8"), "kept\n");
  });

  test("data that stands where a volume was mounted is not removed: the pod's folder stays and the log says why", async () => {
    await node.kubelet.kill();
    const directory = join(pods, "11111111-1111-4111-8111-111111111111/volumes/kubernetes.io~local-volume/pv-x");
    await mkdir(join(directory, "deep"), { recursive: true });
    await node.kubelet.restart();
    const deadline = Date.now() + 60_000;
    while (!node.kubelet.output().includes("the folder of a pod that is gone stays")) {
      assert.ok(Date.now() < deadline, "the log never says it");
      await sleep(100);
    }
    assert.deepEqual(await readdir(directory), ["deep"]);
    // One folder in the way does not hold up the others' end.
    await node.create("other", { containers: [shell("main", WAIT)] });
    const { metadata } = await node.ready("other");
    await node.kubelet.kill();
    await node.client
      .delete(core.pods, { namespace: "default", name: "other" }, { gracePeriodSeconds: 0 })
      .catch((e) => {
        if (!isNotFound(e)) throw e;
      });
    await node.kubelet.restart();
    const until = Date.now() + 60_000;
    while ((await readdir(pods)).includes(metadata.uid ?? "")) {
      assert.ok(Date.now() < until, "the other pod's folder is still there");
      await sleep(100);
    }
  });
}
