/** What only a newer runtime can, on a real containerd 2.x: users of a pod's own, image volumes, groups, read-only depths. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { ImageSpec } from "@knarr/cluster/images/image-archive.ts";
import type { TarEntry } from "@knarr/cluster/images/tar.ts";
import { BUSYBOX_IMAGE, testImages } from "@knarr/testkit/images/test-images.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { CONTAINERD_2 } from "@knarr/testkit/start-containerd.ts";
import { NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const run = promisify(execFile);
const file = (path: string, text: string): TarEntry => ({ type: "file", path, mode: 0o644, data: Buffer.from(text) });

/** A user whom the image itself puts into a group. */
async function groupsImage(): Promise<ImageSpec> {
  const busybox = (await testImages()).find((image) => image.name === BUSYBOX_IMAGE);
  const files = (busybox?.files ?? []).filter((f) => !["etc/group", "etc/passwd"].includes(f.path));
  const passwd = file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n");
  const group = file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:4444:app\n");
  return { name: "knarr.local/groups:1", files: [...files, passwd, group], command: ["/bin/sh"] };
}

const dataImage: ImageSpec = {
  name: "knarr.local/data:1",
  files: [
    file("top", "top\n"),
    { type: "directory", path: "sub/", mode: 0o755 },
    { type: "directory", path: "sub/deep/", mode: 0o755 },
    file("sub/deep/file", "deep\n"),
  ],
};

function mounting(name: string, volumeMounts: Container["volumeMounts"], script = WAIT): Container {
  return { ...shell(name, script), volumeMounts };
}

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.72.0/24", containerd: CONTAINERD_2 });
    await node.containerd.importImages([await groupsImage(), dataImage]);
  });
  after(() => node.stop());

  const uid = (pod: Pod) => pod.metadata.uid ?? "";
  const rangeOf = async (name: string) => {
    const [inside, first, length] = (await node.exec(name, "cat", "/proc/self/uid_map"))
      .trim()
      .split(/\s+/)
      .map(Number);
    return { inside, first: first ?? 0, length };
  };

  test("the node tells what its runtime's handlers can", async () => {
    const { status } = await node.client.get(core.nodes, { namespace: "", name: NODE });
    const features = { recursiveReadOnlyMounts: true, userNamespaces: true };
    const handlers = status?.runtimeHandlers ?? [];
    for (const name of ["", "runc"]) assert.deepEqual(handlers.find((h) => h.name === name)?.features, features);
    assert.deepEqual(status?.features, { supplementalGroupsPolicy: true });
    assert.match(status?.nodeInfo?.containerRuntimeVersion ?? "", /^containerd:\/\/2\./);
  });

  test("pods with hostUsers false have users of their own, and volumes keep their owners", async () => {
    await node.client.create(core.configmaps, {
      metadata: { name: "cm", namespace: "default" },
      data: { key: "value\n" },
    });
    const spec: PodSpec = {
      hostUsers: false,
      securityContext: { fsGroup: 3000, runAsUser: 1000 },
      volumes: [
        { name: "empty", emptyDir: {} },
        { name: "memory", emptyDir: { medium: "Memory" } },
        { name: "cm", configMap: { name: "cm", defaultMode: 0o440 } },
      ],
      containers: [
        mounting("main", [
          { name: "empty", mountPath: "/empty" },
          { name: "memory", mountPath: "/memory" },
          { name: "cm", mountPath: "/cm" },
          { name: "empty", mountPath: "/part", subPath: "part" },
        ]),
      ],
    };
    await Promise.all([node.create("users-a", spec), node.create("users-b", spec)]);
    const pods = await Promise.all([node.ready("users-a"), node.ready("users-b")]);
    const [a, b] = [await rangeOf("users-a"), await rangeOf("users-b")];
    assert.deepEqual([a.inside, a.length, b.inside, b.length], [0, 65_536, 0, 65_536]);
    assert.deepEqual(
      [a.first, b.first].toSorted((x, y) => x - y),
      [65_536, 131_072],
    );
    const inside = "touch /empty/f /memory/f /part/f && cat /cm/key && stat -c '%u:%g' /empty/f /memory/f /part/f";
    assert.equal(await node.exec("users-a", "sh", "-c", inside), "value\n1000:3000\n1000:3000\n1000:3000\n");
    const folder = join(node.kubelet.rootDir, "pods", uid(pods[0] as Pod), "volumes/kubernetes.io~empty-dir/empty");
    const written = await stat(join(folder, "f"));
    assert.deepEqual([written.uid, written.gid], [1000, 3000]);
    const { pid } = JSON.parse(
      (await node.runtime.sandboxStatus(await sandboxOf(uid(pods[0] as Pod)))).info.info ?? "{}",
    );
    assert.match(await readFile(`/proc/${pid}/uid_map`, "utf8"), new RegExp(`^\\s*0\\s+${a.first}\\s+65536\\n$`));
    assert.match(await node.exec("users-a", "cat", "/etc/hosts"), /users-a/);
  });

  const sandboxOf = async (podUid: string) => {
    const all = await node.runtime.listSandboxes({ labelSelector: { "io.kubernetes.pod.uid": podUid } });
    return all[0]?.id ?? assert.fail("no sandbox");
  };

  test("a kubelet that starts anew leaves pods their users, gives new pods others, and frees them with their pod", async () => {
    const before = [await rangeOf("users-a"), await rangeOf("users-b")];
    await node.kubelet.restart();
    // Nothing of /proc need be hidden from users that are nobody on the node; the API takes this of such pods only.
    const open = { ...shell("main", WAIT), securityContext: { procMount: "Unmasked" } };
    await node.create("users-c", { hostUsers: false, containers: [open] });
    await node.ready("users-c");
    assert.equal(await node.exec("users-c", "sh", "-c", "grep -c ' /proc/' /proc/mounts || true"), "0\n");
    assert.deepEqual([await rangeOf("users-a"), await rangeOf("users-b")], before);
    assert.equal((await rangeOf("users-c")).first, 3 * 65_536);
    for (const name of ["users-a", "users-b"]) assert.equal(statusOf(await node.get(name), "main").restartCount, 0);
    const saved = JSON.parse(
      await readFile(join(node.kubelet.rootDir, "pods", uid(await node.get("users-c")), "userns"), "utf8"),
    );
    const mapping = { hostId: 196_608, containerId: 0, length: 65_536 };
    assert.deepEqual(saved, { uidMappings: [mapping], gidMappings: [mapping] });
    await node.remove("users-a");
    await node.create("users-d", { hostUsers: false, containers: [shell("main", WAIT)] });
    await node.ready("users-d");
    assert.equal((await rangeOf("users-d")).first, before[0]?.first);
    for (const name of ["users-b", "users-c", "users-d"]) await node.remove(name);
  });

  test("an image volume holds the image's files, read-only, also in a pod with users of its own", async () => {
    const volume = { name: "data", image: { reference: dataImage.name, pullPolicy: "IfNotPresent" } };
    const spec = { volumes: [volume], containers: [mounting("main", [{ name: "data", mountPath: "/data" }])] };
    await Promise.all([node.create("image", spec), node.create("image-users", { ...spec, hostUsers: false })]);
    for (const name of ["image", "image-users"]) {
      await node.ready(name);
      const exec = (script: string) => node.exec(name, "sh", "-c", `${script} 2>&1 || true`);
      assert.equal(await exec("cat /data/top /data/sub/deep/file; stat -c %u /data/top"), "top\ndeep\n0\n");
      assert.match(await exec("touch /data/new"), /Read-only file system/);
      await node.remove(name);
    }
  });

  test("a sub-path of an image volume is all that is mounted, or is refused by name", async () => {
    await node.create("part", {
      volumes: [{ name: "data", image: { reference: dataImage.name } }],
      containers: [mounting("main", [{ name: "data", mountPath: "/part", subPath: "sub/deep" }])],
    });
    const settled = await node.until("part", "runs or is refused", (p) => {
      const { running, waiting } = statusOf(p, "main").state ?? {};
      return running !== undefined || waiting?.reason === "CreateContainerConfigError";
    });
    const { waiting } = statusOf(settled, "main").state ?? {};
    if (waiting === undefined) assert.equal(await node.exec("part", "ls", "/part"), "file\n");
    else assert.match(waiting.message ?? "", /needs containerd 2.2 or later, and this is 2\./);
    await node.remove("part");
  });

  test("an image volume that can't be had keeps its container waiting, and says why", async () => {
    const create = (name: string, image: object) =>
      node.create(name, {
        volumes: [{ name: "data", image }],
        containers: [mounting("main", [{ name: "data", mountPath: "/data" }])],
      });
    await create("never", { reference: "knarr.local/none:1", pullPolicy: "Never" });
    await create("absent", { reference: "127.0.0.1:1/none:1" });
    const waits = (name: string, reason: string) =>
      node.until(name, `waits in ${reason}`, (p) => statusOf(p, "main").state?.waiting?.reason === reason);
    await waits("never", "ErrImageNeverPull");
    await waits("absent", "ImagePullBackOff");
    const pulling = await node.untilEvent("absent", "Pulling", 'Pulling image "127.0.0.1:1/none:1"');
    assert.equal(pulling.involvedObject.fieldPath, undefined);
    const failed = await node.untilEvent("absent", "Failed", "Error: ErrImagePull");
    assert.equal(failed.involvedObject.fieldPath, "spec.containers{main}");
    for (const name of ["never", "absent"]) await node.remove(name);
  });

  test("recursiveReadOnly mounts are read-only to every depth, and the status says so", async () => {
    const host = await mkdtemp(join(tmpdir(), "knarr-rro-"));
    await mkdir(join(host, "inner"));
    await run("mount", ["-t", "tmpfs", "tmpfs", join(host, "inner")]);
    await writeFile(join(host, "inner/f"), "");
    const mount = (recursiveReadOnly: string): Container["volumeMounts"] => [
      { name: "v", mountPath: "/v", readOnly: true, recursiveReadOnly },
    ];
    await node.create("rro", {
      volumes: [{ name: "v", hostPath: { path: host } }],
      containers: [mounting("all", mount("Enabled")), mounting("top", mount("Disabled"))],
    });
    const pod = await node.ready("rro");
    const touch = (container: string) =>
      node.kubectl("exec", "rro", "-c", container, "--", "sh", "-c", "touch /v/inner/new 2>&1 || true");
    assert.match(await touch("all"), /Read-only file system/);
    assert.equal(await touch("top"), "");
    const shown = (name: string) => statusOf(pod, name).volumeMounts?.find((m) => m.name === "v")?.recursiveReadOnly;
    assert.deepEqual([shown("all"), shown("top")], ["Enabled", "Disabled"]);
    await node.remove("rro");
    await run("umount", [join(host, "inner")]);
    await rm(host, { recursive: true });
  });

  test("supplementalGroupsPolicy Strict leaves the image's groups out; the status tells whose groups run", async () => {
    const create = (name: string, supplementalGroupsPolicy: string) =>
      node.create(name, {
        securityContext: { runAsUser: 1000, runAsGroup: 1000, supplementalGroups: [5555], supplementalGroupsPolicy },
        containers: [{ ...shell("main", WAIT), image: "knarr.local/groups:1" }],
      });
    await Promise.all([create("strict", "Strict"), create("merge", "Merge")]);
    const [strict, merge] = await Promise.all([node.ready("strict"), node.ready("merge")]);
    assert.equal(await node.exec("strict", "id", "-G"), "1000 5555\n");
    assert.equal(await node.exec("merge", "id", "-G"), "1000 4444 5555\n");
    const user = (supplementalGroups: number[]) => ({ linux: { uid: 1000, gid: 1000, supplementalGroups } });
    assert.deepEqual(statusOf(strict, "main").user, user([1000, 5555]));
    assert.deepEqual(statusOf(merge, "main").user, user([1000, 4444, 5555]));
    await Promise.all([node.remove("strict"), node.remove("merge")]);
  });

  test("a checkpoint says that CRIU is missing where it is", async () => {
    await node.create("check", { containers: [shell("main", WAIT)] });
    await node.ready("check");
    const path = `/api/v1/nodes/${NODE}/proxy/checkpoint/default/check/main`;
    const answer = await node.client.request({ method: "POST", path }).then(
      () => "made",
      (error: unknown) => String(error),
    );
    if (answer !== "made") assert.match(answer, /checkpointing of default\/check\/main failed \(.*CRIU/);
    await node.remove("check");
  });
}
