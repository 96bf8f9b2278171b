/** How volumes are mounted into containers: read-only kinds, expressions, propagation, images, devices. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, PodSpec, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { isolatedTest } from "@knarr/testkit/isolated-test.ts";
import { NODE, shell, statusOf, TestNode, WAIT } from "./test-node.ts";

const run = promisify(execFile);

if (await isolatedTest(import.meta)) {
  let node: TestNode;
  let host = "";
  before(async () => {
    node = await TestNode.start({ subnet: "10.88.15.0/24" });
    host = join(node.containerd.directory, "host");
    await mkdir(host);
    await node.client.create(core.configmaps, { metadata: { name: "cfg", namespace: "default" }, data: { k: "v" } });
  });
  after(async () => {
    await node.stop();
  });

  const pod = (
    script: string,
    source: Omit<Volume, "name">,
    mount: Partial<NonNullable<Container["volumeMounts"]>[number]> = {},
    container: Partial<Container> = {},
  ): Partial<PodSpec> & Pick<PodSpec, "containers"> => ({
    volumes: [{ name: "v", ...source }],
    containers: [{ ...shell("main", script), volumeMounts: [{ name: "v", mountPath: "/v", ...mount }], ...container }],
  });
  const output = async (name: string, spec: ReturnType<typeof pod>) => {
    await node.create(name, { ...spec, restartPolicy: "Never" });
    await node.until(name, "ends", (p) => p.status?.phase === "Succeeded" || p.status?.phase === "Failed");
    const text = await node.kubectl("logs", name);
    await node.remove(name);
    return text;
  };
  /** What a container waits for that can't be made as it is described. */
  const refusal = async (name: string, spec: ReturnType<typeof pod>) => {
    await node.create(name, spec);
    const waiting = await node.until(
      name,
      "is refused",
      (p) => statusOf(p, "main").state?.waiting?.reason === "CreateContainerConfigError",
    );
    await node.remove(name);
    return statusOf(waiting, "main").state?.waiting?.message;
  };

  test("containers can't write to what the API's objects are shown in", async () => {
    const volumes = { configMap: { name: "cfg" } };
    assert.equal(
      await output("ro", pod("touch /v/x 2>&1 || cat /v/k", volumes)),
      "touch: /v/x: Read-only file system\nv",
    );
  });

  test("files of the API's objects belong to fsGroup for reading, and are not written again while nothing changes", async () => {
    const spec = pod(WAIT, { configMap: { name: "cfg" } });
    const { metadata } = await node.create("grp", { ...spec, securityContext: { fsGroup: 2000 } });
    await node.ready("grp");
    assert.equal(await node.exec("grp", "stat", "-L", "-c", "%a %g", "/v/k", "/v"), "644 2000\n2777 2000\n");
    const data = join(node.kubelet.rootDir, "pods", metadata.uid ?? "", "volumes/kubernetes.io~configmap/v/..data");
    const before = await readlink(data);
    const key = { namespace: "default", name: "cfg" };
    await node.client.patch(core.configmaps, key, { type: "merge", body: { data: { k2: "x" } } });
    for (const deadline = Date.now() + 90_000; (await readlink(data)) === before; await sleep(50)) {
      assert.ok(Date.now() < deadline, "the change never arrives");
    }
    const after = await readlink(data);
    // The object changes, what the volume shows of it does not.
    await node.client.patch(core.configmaps, key, {
      type: "merge",
      body: { metadata: { labels: { touched: "yes" } } },
    });
    await sleep(1000);
    assert.equal(await readlink(data), after);
    await node.remove("grp");
  });

  test("subPathExpr is expanded, and refused when a name has no value", async () => {
    const env = [{ name: "WHO", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }];
    const script = "echo x > /v/f; cat /proc/self/mountinfo | grep -c /v";
    await output("expr", pod(script, { hostPath: { path: host } }, { subPathExpr: "logs/$(WHO)" }, { env }));
    assert.equal((await run("cat", [join(host, "logs/expr/f")])).stdout, "x\n");
    const spec = pod(WAIT, { hostPath: { path: host } }, { subPathExpr: "logs/$(NOPE)" });
    assert.equal(await refusal("exprless", spec), 'missing value for "NOPE"');
  });

  test("a sub-path that leads out is refused without a word about the node", async () => {
    await run("ln", ["-s", "/etc", join(host, "out")]);
    const message = await refusal("out", pod(WAIT, { hostPath: { path: host } }, { subPath: "out/passwd" }));
    assert.equal(message, 'failed to prepare subPath for volumeMount "v" of container "main"');
  });

  test("recursiveReadOnly is asked of the runtime: as it can with IfPossible, refused with Enabled where it can't", async () => {
    const source = { emptyDir: {} };
    const mount = { readOnly: true, recursiveReadOnly: "IfPossible" };
    assert.match(await output("rro", pod("touch /v/x 2>&1 || true", source, mount)), /Read-only/);
    const [handler] = (await node.runtime.status()).runtimeHandlers;
    if (handler?.features?.recursiveReadOnlyMounts === true) return;
    const spec = pod(WAIT, source, { readOnly: true, recursiveReadOnly: "Enabled" });
    assert.equal(
      await refusal("rrono", spec),
      'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
    );
  });

  test("HostToContainer sees later mounts of the node, None does not, Bidirectional gives its own away", async () => {
    const source = { hostPath: { path: host } };
    const mount = (name: string, mountPropagation?: string) => ({
      ...shell(name, WAIT),
      volumeMounts: [{ name: "v", mountPath: "/v", ...(mountPropagation === undefined ? {} : { mountPropagation }) }],
    });
    const giver = { ...mount("giver", "Bidirectional"), securityContext: { privileged: true } };
    const containers = [mount("none"), mount("slave", "HostToContainer"), giver];
    await node.create("prop", { volumes: [{ name: "v", ...source }], containers });
    await node.ready("prop");
    const exec = (container: string, ...command: string[]) =>
      node.kubectl("exec", "prop", "-c", container, "--", ...command);
    await mkdir(join(host, "later"));
    await run("mount", ["-t", "tmpfs", "tmpfs", join(host, "later")]);
    await writeFile(join(host, "later/f"), "");
    assert.equal(await exec("none", "ls", "/v/later"), "");
    assert.equal(await exec("slave", "ls", "/v/later"), "f\n");
    await exec("giver", "mkdir", "/v/given");
    await exec("giver", "mount", "-t", "tmpfs", "tmpfs", "/v/given");
    await exec("giver", "touch", "/v/given/g");
    assert.equal((await run("ls", [join(host, "given")])).stdout, "g\n");
    assert.equal(await exec("slave", "ls", "/v/given"), "g\n");
    await node.remove("prop");
    await run("umount", [join(host, "later")]);
    await run("umount", [join(host, "given")]);
  });

  test("an image volume that is not there keeps the container waiting for its image; the runtime says if it can't", async () => {
    await node.create("noimage", pod(WAIT, { image: { reference: "knarr.local/none:1", pullPolicy: "Never" } }));
    await node.until("noimage", "waits", (p) => statusOf(p, "main").state?.waiting?.reason === "ErrImageNeverPull");
    await node.remove("noimage");
    const reference = "knarr.local/busybox:1";
    await node.create("image", pod(`ls /v/bin | grep -x sh; ${WAIT}`, { image: { reference, pullPolicy: "Never" } }));
    const settled = await node.until("image", "runs or is refused", (p) => {
      const { waiting, running } = statusOf(p, "main").state ?? {};
      return (
        running !== undefined || waiting?.reason === "CreateContainerError" || waiting?.reason === "RunContainerError"
      );
    });
    if (statusOf(settled, "main").state?.running !== undefined) {
      await node.untilLog("image", "sh\n");
    }
    await node.remove("image");
  });

  test("hostPath checks every type, and says what the path is not", async () => {
    await writeFile(join(host, "file"), "");
    const server = createServer().listen(join(host, "socket")).unref();
    let count = 0;
    const message = async (type: string, path: string) => {
      const name = `h-${count++}`;
      await node.create(name, pod(WAIT, { hostPath: { path, type } }));
      const event = await node.untilEvent(name, "FailedMount");
      await node.remove(name);
      return event.message?.split(" : ")[1];
    };
    const file = join(host, "file");
    const failed = (what: string, path = file) => `hostPath type check failed: ${path} is not ${what}`;
    assert.equal(await message("Directory", file), failed("a directory"));
    assert.equal(await message("DirectoryOrCreate", file), failed("a directory"));
    assert.equal(await message("File", host), failed("a file", host));
    assert.equal(await message("FileOrCreate", host), failed("a file", host));
    assert.equal(await message("Socket", file), failed("a socket file"));
    assert.equal(await message("CharDevice", file), failed("a character device"));
    assert.equal(await message("BlockDevice", "/dev/null"), failed("a block device", "/dev/null"));
    const nowhere = join(file, "below");
    assert.equal(await message("File", nowhere), failed("a file", nowhere));
    await output("h-ok", pod("true", { hostPath: { path: join(host, "socket"), type: "Socket" } }));
    await output("h-null", pod("true", { hostPath: { path: "/dev/null", type: "CharDevice" } }));
    server.close();
  });

  test("a claim of volumeMode Block is a device in the container, and only there where it is asked for as one", async () => {
    await run("truncate", ["-s", "4M", join(host, "disk")]);
    const device = (await run("losetup", ["--find", "--show", join(host, "disk")])).stdout.trim();
    try {
      const modes = { accessModes: ["ReadWriteOnce"], volumeMode: "Block", storageClassName: "" };
      const metadata = { name: "block", namespace: "default" };
      const made = await node.client.create(core.persistentvolumeclaims, {
        metadata,
        spec: { ...modes, volumeName: "pv-block", resources: { requests: { storage: "4Mi" } } },
      });
      const term = { key: "kubernetes.io/hostname", operator: "In", values: [NODE] };
      const claimRef = { kind: "PersistentVolumeClaim", namespace: "default", name: "block", uid: made.metadata.uid };
      await node.client.create(core.persistentvolumes, {
        metadata: { name: "pv-block" },
        spec: {
          ...modes,
          capacity: { storage: "4Mi" },
          claimRef,
          local: { path: device },
          nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [term] }] } },
        },
      });
      const status = { phase: "Bound", accessModes: modes.accessModes, capacity: { storage: "4Mi" } };
      await node.client.update(core.persistentvolumeclaims, { ...made, status }, { subresource: "status" });
      const source = { persistentVolumeClaim: { claimName: "block" } };
      const volumeDevices = [{ name: "v", devicePath: "/dev/xda" }];
      const script = "echo written > /dev/xda; head -c 7 /dev/xda; test -b /dev/xda && echo block";
      assert.equal(await output("dev", pod(script, source, {}, { volumeMounts: [], volumeDevices })), "writtenblock\n");
      await node.create("notdev", pod(WAIT, source));
      const event = await node.untilEvent("notdev", "FailedMount");
      assert.match(event.message ?? "", /: volume v has volumeMode Block, but is specified in volumeMounts$/);
      await node.remove("notdev");
    } finally {
      await run("losetup", ["--detach", device]);
    }
  });
}
