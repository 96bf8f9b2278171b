import assert from "node:assert/strict";
import test from "node:test";
import { CgroupNames } from "../core/cgroup-names.ts";
import { startArguments } from "./systemd-slices.ts";

const UID = "8f0c1a2b-0000-4000-8000-1234567890ab";
const ESCAPED = "8f0c1a2b_0000_4000_8000_1234567890ab";

const names: {
  driver: "cgroupfs" | "systemd";
  root: string;
  qos: "Guaranteed" | "Burstable";
  path: string;
  parent: string;
}[] = [
  { driver: "cgroupfs", root: "/", qos: "Guaranteed", path: `/kubepods/pod${UID}`, parent: `/kubepods/pod${UID}` },
  {
    driver: "cgroupfs",
    root: "/knarr/node-1",
    qos: "Burstable",
    path: `/knarr/node-1/kubepods/burstable/pod${UID}`,
    parent: `/knarr/node-1/kubepods/burstable/pod${UID}`,
  },
  {
    driver: "systemd",
    root: "/",
    qos: "Burstable",
    path: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${ESCAPED}.slice`,
    parent: `kubepods-burstable-pod${ESCAPED}.slice`,
  },
  {
    driver: "systemd",
    root: "/knarr",
    qos: "Guaranteed",
    path: `/knarr.slice/knarr-kubepods.slice/knarr-kubepods-pod${ESCAPED}.slice`,
    parent: `knarr-kubepods-pod${ESCAPED}.slice`,
  },
];
for (const { driver, root, qos, path, parent } of names) {
  test(`CgroupNames names a ${qos} pod below ${root} as ${driver} does, and finds its UID again`, () => {
    const all = new CgroupNames(driver, root);
    assert.equal(all.pod(qos, UID), path);
    assert.equal(all.parentOf(path), parent);
    assert.equal(all.uidOf(path.slice(path.lastIndexOf("/") + 1)), UID);
    assert.equal(all.uidOf(driver === "systemd" ? "kubepods-burstable.slice" : "burstable"), undefined);
  });
}

test("startArguments() is what busctl takes for a slice with limits", () => {
  const limits = { cpuShares: 512, cpuQuotaUs: 50_000, memoryLimitBytes: 1024, pidsMax: 9 };
  const args = startArguments("a.slice", limits, 2);
  assert.deepEqual(args.slice(0, 4), ["ssa(sv)a(sa(sv))", "a.slice", "replace", "9"]);
  assert.equal(args.length, 4 + 9 * 3 + 1);
  const text = args.join(" ");
  assert.match(text, /CPUWeight t 20 CPUQuotaPerSecUSec t 500000 MemoryMax t 1024 TasksMax t 9 0$/);
  assert.match(startArguments("a.slice", limits, 1).join(" "), /CPUShares t 512 .* MemoryLimit t 1024/);
});
