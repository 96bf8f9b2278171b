/** The contract on a real containerd 2.x, and what it tells of itself. */
import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { CONTAINERD_2, startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { openRuntime } from "../src/open-runtime.ts";
import type { RuntimeEvent } from "../src/types.ts";
import { ContractKit, containerConfig, exited, say, sleeper, start, until } from "./contract-kit.ts";
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

  const open = async () => openRuntime(containerd.endpoint);
  const kit = new ContractKit(open, { cgroupParent });
  runtimeContract(open, { cgroupParent });

  test("events() tells each step of a container, and whose pod it is", async () => {
    const follower = await open();
    const stop = new AbortController();
    const seen: RuntimeEvent[] = [];
    const following = (async () => {
      for await (const event of follower.events(stop.signal)) seen.push(event);
    })();
    let uid = "";
    let last = "";
    await kit.withSandbox(async (given) => {
      uid = given.sandbox.metadata.uid;
      // The stream may open after the sandbox was made: only what comes later is sure to be seen.
      for (let attempt = 0; !seen.some((e) => e.containerId === last && e.type === "stopped"); attempt++) {
        assert.ok(attempt < 600, "no event ever came");
        last = await start(given, containerConfig("main", ["/bin/true"], { metadata: { name: "main", attempt } }));
        await exited(given.runtime, last);
      }
      last = await start(given, containerConfig("last", ["/bin/true"]));
      await exited(given.runtime, last);
    });
    const own = () => seen.filter((e) => e.containerId === last);
    await until("the last event", async () => own().find((e) => e.type === "deleted"));
    // A container this short may be seen to end before it is seen to start.
    assert.deepEqual(
      own()
        .map((e) => e.type)
        .toSorted(),
      ["created", "deleted", "started", "stopped"],
    );
    for (const e of own().filter((one) => one.type !== "deleted")) assert.equal(e.podUid, uid);
    stop.abort();
    await following;
    follower.close();
  });

  test("the sandbox's image is pinned: image collection spares it", async () => {
    const runtime = await open();
    const pinned = (await runtime.listImages()).filter((image) => image.pinned);
    assert.deepEqual(
      pinned.map((image) => image.repoTags.some((tag) => /\/pause:/.test(tag))),
      [true],
    );
    runtime.close();
  });

  test("containers of a sandbox with users of its own share them, and files keep their owners", async () => {
    const mapping = { hostId: 400_000, containerId: 0, length: 65_536 };
    const usernsOptions = { mode: "POD", uids: [mapping], gids: [mapping] } as const;
    const namespaceOptions = { network: "POD", pid: "CONTAINER", ipc: "POD", usernsOptions } as const;
    const folder = await mkdtemp(join(tmpdir(), "knarr-mapped-"));
    await writeFile(join(folder, "file"), "kept\n");
    await kit.withSandbox(
      async (given) => {
        const mounts = [
          {
            containerPath: "/mapped",
            hostPath: folder,
            readonly: false,
            uidMappings: [mapping],
            gidMappings: [mapping],
          },
        ];
        const linux = { securityContext: { namespaceOptions } };
        const [one, two] = [sleeper("one", { mounts, linux }), sleeper("two", { mounts, linux })];
        const ids = [await start(given, one), await start(given, two)];
        const maps = await Promise.all(
          ids.map((id) => say(given.runtime, id, "cat /proc/self/uid_map /proc/self/gid_map")),
        );
        for (const map of maps) assert.match(map, /^\s*0\s+400000\s+65536\n\s*0\s+400000\s+65536$/);
        const spaces = await Promise.all(ids.map((id) => say(given.runtime, id, "readlink /proc/self/ns/user")));
        assert.equal(spaces[0], spaces[1]);
        assert.equal(await say(given.runtime, ids[0] ?? "", "stat -c %u:%g /mapped/file; touch /mapped/new"), "0:0");
        assert.equal((await stat(join(folder, "new"))).uid, 0);
      },
      (config) => ({ ...config, linux: { ...config.linux, securityContext: { namespaceOptions } } }),
    );
    await rm(folder, { recursive: true });
  });

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
