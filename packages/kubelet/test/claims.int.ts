/** Volumes by way of claims, as pods see them; the binder's part is played by the test. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type {
  Container,
  PersistentVolume,
  PersistentVolumeClaim,
  PodSpec,
  Volume,
} from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { NODE, shell, TestNode, WAIT } from "./test-node.ts";

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let disks = "";
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.14.0/24" });
    disks = join(node.containerd.directory, "disks");
    await mkdir(disks);
  });
  after(async () => {
    await node.stop();
  });

  const onNode = (name: string) => ({
    required: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [name] }] }],
    },
  });

  /** A volume and a claim that are bound to each other, as the binder would leave them. */
  const bound = async (
    name: string,
    spec: Partial<NonNullable<PersistentVolume["spec"]>>,
    claim: Partial<PersistentVolumeClaim["metadata"]> = {},
  ): Promise<PersistentVolumeClaim> => {
    const modes = { accessModes: ["ReadWriteOnce"], volumeMode: "Filesystem" };
    const { accessModes = modes.accessModes } = spec;
    const made = await node.client.create(core.persistentvolumeclaims, {
      metadata: { name, namespace: "default", ...claim },
      spec: {
        ...modes,
        accessModes,
        storageClassName: "",
        volumeName: `pv-${name}`,
        resources: { requests: { storage: "1Gi" } },
      },
    });
    const { uid } = made.metadata;
    const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: "default", name, uid };
    await node.client.create(core.persistentvolumes, {
      metadata: { name: `pv-${name}` },
      spec: { ...modes, storageClassName: "", capacity: { storage: "1Gi" }, claimRef, ...spec },
    });
    const status = { phase: "Bound", accessModes, capacity: { storage: "1Gi" } };
    return await node.client.update(core.persistentvolumeclaims, { ...made, status }, { subresource: "status" });
  };

  const local = async (name: string, more: Partial<NonNullable<PersistentVolume["spec"]>> = {}) => {
    const path = join(disks, name);
    await mkdir(path, { recursive: true });
    return await bound(name, { local: { path }, nodeAffinity: onNode(NODE), ...more });
  };

  const pod = (
    script: string,
    volume: Omit<Volume, "name">,
    more: Partial<PodSpec> = {},
    container: Partial<Container> = {},
  ) => ({
    volumes: [{ name: "data", ...volume }],
    ...more,
    containers: [{ ...shell("main", script), volumeMounts: [{ name: "data", mountPath: "/data" }], ...container }],
  });
  const ofClaim = (claimName: string, readOnly = false) => ({ persistentVolumeClaim: { claimName, readOnly } });

  const output = async (name: string, spec: Partial<PodSpec> & Pick<PodSpec, "containers">) => {
    await node.create(name, { ...spec, restartPolicy: "Never" });
    await node.until(name, "ends", (p) => p.status?.phase === "Succeeded" || p.status?.phase === "Failed");
    const text = await node.kubectl("logs", name);
    await node.remove(name);
    return text;
  };
  /** The first words of the event that a pod can't start for; the pod is removed. */
  const complaint = async (name: string, spec: Partial<PodSpec> & Pick<PodSpec, "containers">) => {
    await node.create(name, spec);
    const event = await node.untilEvent(name, "FailedMount");
    await node.remove(name);
    return event.message;
  };

  test("a local volume keeps its data when its pod is gone, and is read-only where the claim is used so", async () => {
    await local("keep");
    assert.equal(await output("writer", pod("echo kept > /data/f; cat /data/f", ofClaim("keep"))), "kept\n");
    assert.equal(await readFile(join(disks, "keep/f"), "utf8"), "kept\n");
    const script = "cat /data/f; touch /data/g 2>/dev/null || echo no";
    assert.equal(await output("reader", pod(script, ofClaim("keep", true))), "kept\nno\n");
    assert.deepEqual(await readdir(join(disks, "keep")), ["f"]);
  });

  test("a hostPath volume and a sub-path of a local one hold what they should", async () => {
    await mkdir(join(disks, "host"));
    await writeFile(join(disks, "host/f"), "from the node");
    await bound("host", { hostPath: { path: join(disks, "host"), type: "Directory" } });
    assert.equal(await output("hostpv", pod("cat /data/f", ofClaim("host"))), "from the node");
    await local("sub");
    const volumeMounts = [{ name: "data", mountPath: "/data", subPath: "a/b" }];
    assert.equal(await output("subpv", pod("echo x > /data/f", ofClaim("sub"), {}, { volumeMounts })), "");
    assert.equal(await readFile(join(disks, "sub/a/b/f"), "utf8"), "x\n");
  });

  test("fsGroup owns a local volume; with OnRootMismatch what is inside a right root is left alone", async () => {
    await local("owned");
    await writeFile(join(disks, "owned/old"), "");
    const securityContext = { fsGroup: 2345, runAsUser: 1000, fsGroupChangePolicy: "OnRootMismatch" };
    const script = "echo x > /data/new && stat -c '%n %g' /data/old /data/new /data";
    const spec = pod(script, ofClaim("owned"), { securityContext });
    assert.equal(await output("grp", spec), "/data/old 2345\n/data/new 2345\n/data 2345\n");
    await writeFile(join(disks, "owned/late"), "");
    assert.equal(await output("grp2", pod("stat -c %g /data/late", ofClaim("owned"), { securityContext })), "2345\n");
    const { chown } = await import("node:fs/promises");
    await chown(join(disks, "owned/late"), 0, 0);
    assert.equal(await output("grp3", pod("stat -c %g /data/late", ofClaim("owned"), { securityContext })), "0\n");
  });

  test("claims that are missing, unbound, being deleted, or another pod's are told in upstream's words", async () => {
    const lead = (claim: string) =>
      `Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: error processing PVC default/${claim}: `;
    assert.equal(
      await complaint("missing", pod(WAIT, ofClaim("nowhere"))),
      `${lead("nowhere")}failed to fetch PVC from API server: persistentvolumeclaims "nowhere" not found`,
    );
    const spec = { accessModes: ["ReadWriteOnce"], storageClassName: "", resources: { requests: { storage: "1Gi" } } };
    await node.client.create(core.persistentvolumeclaims, { metadata: { name: "loose", namespace: "default" }, spec });
    assert.equal(await complaint("unbound", pod(WAIT, ofClaim("loose"))), `${lead("loose")}PVC is not bound`);
    await bound("leaving", { hostPath: { path: disks } }, { finalizers: ["kubernetes.io/pvc-protection"] });
    await node.client.delete(core.persistentvolumeclaims, { namespace: "default", name: "leaving" });
    assert.equal(await complaint("deleted", pod(WAIT, ofClaim("leaving"))), `${lead("leaving")}PVC is being deleted`);
    await bound("eph-data", { hostPath: { path: disks } });
    const ephemeral = { ephemeral: { volumeClaimTemplate: { spec } } };
    assert.match(
      (await complaint("eph", pod(WAIT, ephemeral))) ?? "",
      /PVC default\/eph-data was not created for pod default\/eph \(pod is not owner\)$/,
    );
  });

  test("an ephemeral volume is mounted once the claim that the pod owns is there and bound", async () => {
    const spec = { accessModes: ["ReadWriteOnce"], storageClassName: "", resources: { requests: { storage: "1Gi" } } };
    const ephemeral = { ephemeral: { volumeClaimTemplate: { spec } } };
    const { metadata } = await node.create("own", pod(`echo x > /data/own; ${WAIT}`, ephemeral));
    await node.untilEvent("own", "FailedMount");
    const owner = { apiVersion: "v1", kind: "Pod", name: "own", uid: metadata.uid ?? "", controller: true };
    await bound("own-data", { hostPath: { path: disks } }, { ownerReferences: [owner] });
    await node.ready("own");
    await node.untilExec("own", ["sh", "-c", "cat /data/own || true"], "x\n");
    await node.remove("own");
  });

  test("what can't be mounted says why: nfs without its helper, a missing path, another node, a driver, options", async () => {
    await bound("nfs", { nfs: { server: "127.0.0.1", path: "/export" }, mountOptions: ["nolock"] });
    assert.match(
      (await complaint("nfspod", pod(WAIT, ofClaim("nfs")))) ?? "",
      /^MountVolume.SetUp failed for volume "pv-nfs" : mount failed: exit status \d+\nMounting command: mount\nMounting arguments: -t nfs -o nolock 127\.0\.0\.1:\/export .*\/volumes\/kubernetes\.io~nfs\/pv-nfs\nOutput: /,
    );
    await bound("void", { local: { path: join(disks, "void") }, nodeAffinity: onNode(NODE) });
    assert.equal(
      await complaint("voidpod", pod(WAIT, ofClaim("void"))),
      `MountVolume.NewMounter initialization failed for volume "pv-void" : path "${join(disks, "void")}" does not exist`,
    );
    await local("far", { nodeAffinity: onNode("elsewhere") });
    assert.equal(
      await complaint("farpod", pod(WAIT, ofClaim("far"))),
      'MountVolume.NodeAffinity check failed for volume "pv-far" : no matching NodeSelectorTerms',
    );
    await bound("drv", { csi: { driver: "csi.example.org", volumeHandle: "v" } });
    assert.match(
      (await complaint("drvpod", pod(WAIT, ofClaim("drv")))) ?? "",
      /^MountVolume.MountDevice failed for volume "pv-drv" : .*driver name csi\.example\.org not found in the list/,
    );
  });

  test("a ReadWriteOncePod volume is one pod's at a time", async () => {
    await local("alone", { accessModes: ["ReadWriteOncePod"] });
    await node.create("first", pod(WAIT, ofClaim("alone")));
    await node.ready("first");
    await node.create("second", pod(WAIT, ofClaim("alone")));
    const event = await node.untilEvent("second", "FailedMount");
    assert.equal(
      event.message,
      'MountVolume.SetUp failed for volume "pv-alone" : mount failed, volume uses the ReadWriteOncePod access mode and is already in use by another pod',
    );
    await node.remove("first");
    await node.ready("second");
    await node.remove("second");
  });

  test("a pod that went while the kubelet was down is taken away with its mounts, and the data stays", async () => {
    await local("crash");
    await node.create("crash", pod(`echo x > /data/f; ${WAIT}`, ofClaim("crash")));
    const { metadata } = await node.ready("crash");
    const directory = join(node.kubelet.rootDir, "pods", metadata.uid ?? "");
    await node.kubelet.kill();
    await node.client.delete(core.pods, { namespace: "default", name: "crash" }, { gracePeriodSeconds: 0 });
    await node.kubelet.restart();
    const deadline = Date.now() + 60_000;
    while ((await stat(directory).catch(() => undefined)) !== undefined) {
      assert.ok(Date.now() < deadline, "the pod's folder is still there");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal((await readFile("/proc/self/mountinfo", "utf8")).includes("pv-crash"), false);
    assert.equal(await readFile(join(disks, "crash/f"), "utf8"), "x\n");
  });
}
