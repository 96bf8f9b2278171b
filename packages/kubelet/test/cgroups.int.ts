/** The kubelet's cgroups in the kernel's own hierarchy, whichever version this machine has. */
import assert from "node:assert/strict";
import { access, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after } from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { Cgroups, cgroupVersion } from "../src/adapters/cgroups.ts";

const ROOT = `/knarr-test-${process.pid}-cgroups`;
const MOUNT = "/sys/fs/cgroup";
const version = await cgroupVersion();
const cgroups = new Cgroups(version, { driver: "cgroupfs", root: ROOT, podPidsLimit: 77, hugePageSizes: [] });

after(() => removeCgroups(ROOT));

/** The content of a limit's file: v1's hierarchy and name, or v2's name. */
async function read(path: string, v1: readonly [hierarchy: string, file: string], v2: string): Promise<string> {
  const full = version === 2 ? join(MOUNT, path, v2) : join(MOUNT, v1[0], path, v1[1]);
  return (await readFile(full, "utf8")).trim();
}

const MEMORY = [["memory", "memory.limit_in_bytes"], "memory.max"] as const;
const PIDS = [["pids", "pids.max"], "pids.max"] as const;

function podOf(uid: string, resources: object): Pod {
  return {
    metadata: { name: uid, namespace: "ns", uid },
    spec: { containers: [{ name: "c", image: "i", resources }] },
  };
}

const all = { cpu: "500m", memory: "64Mi" };
const guaranteed = podOf("g", { requests: all, limits: all });
const burstable = podOf("b", { requests: { cpu: "250m" } });

test("every quality of service has its place, and a pod's limits are the kernel's", async () => {
  await cgroups.prepare({ cpuShares: 2048, memoryLimitBytes: 512 * 2 ** 20 });
  assert.equal(await read(`${ROOT}/kubepods`, ...MEMORY), String(512 * 2 ** 20));
  for (const pod of [guaranteed, burstable, podOf("e", {})]) await cgroups.ensurePod(pod);
  assert.equal(cgroups.podPath(guaranteed), `${ROOT}/kubepods/podg`);
  assert.equal(cgroups.podPath(burstable), `${ROOT}/kubepods/burstable/podb`);
  assert.equal(cgroups.podPath(podOf("e", {})), `${ROOT}/kubepods/besteffort/pode`);
  assert.equal(await read(cgroups.podPath(guaranteed), ...MEMORY), String(64 * 2 ** 20));
  assert.equal(await read(cgroups.podPath(guaranteed), ...PIDS), "77");
  if (version === 1) {
    assert.equal(await read(cgroups.podPath(guaranteed), ["cpu", "cpu.shares"], ""), "512");
    assert.equal(await read(cgroups.podPath(guaranteed), ["cpu", "cpu.cfs_quota_us"], ""), "50000");
    assert.equal(await read(`${ROOT}/kubepods/besteffort`, ["cpu", "cpu.shares"], ""), "2");
  } else {
    assert.equal(await read(cgroups.podPath(guaranteed), ["", ""], "cpu.max"), "50000 100000");
    assert.equal(await read(`${ROOT}/kubepods/besteffort`, ["", ""], "cpu.weight"), "1");
  }
  assert.deepEqual([...(await cgroups.podUids()).keys()].toSorted(), ["b", "e", "g"]);
});

test("the groups of the system's daemons are limited where they are, and missed where they are not", async () => {
  const path = `${ROOT}/daemons`;
  await assert.rejects(cgroups.limitExisting(path, { cpuShares: 2 }), /daemons" cgroup does not exist$/);
  const roots = version === 2 ? [MOUNT] : (await readdir(MOUNT)).map((name) => join(MOUNT, name));
  for (const root of roots) await mkdir(join(root, path), { recursive: true });
  await cgroups.limitExisting(path, { cpuShares: 512, memoryLimitBytes: 2 ** 26, pidsMax: 99 });
  assert.equal(await read(path, ...MEMORY), String(2 ** 26));
  assert.equal(await read(path, ...PIDS), "99");
  const memory = await cgroups.memoryOf(path);
  assert.equal(memory?.limitBytes, 2 ** 26);
  assert.equal(await cgroups.pidsOf(path), 0);
  assert.equal((await cgroups.memoryOf(`${ROOT}/nowhere`))?.limitBytes, undefined);
});

test("a pod's group goes with what is left in it", async () => {
  for (const pod of [guaranteed, burstable]) {
    await cgroups.removePod(pod);
    await cgroups.removePod(pod);
    await assert.rejects(access(join(version === 2 ? MOUNT : join(MOUNT, "memory"), cgroups.podPath(pod))));
  }
});
