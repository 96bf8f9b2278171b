import assert from "node:assert/strict";
import test from "node:test";
import { holdingMount, ProjectQuota, projectsIn, whyNoQuota } from "./quota.ts";

const MOUNTINFO = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 8:17 / /mnt/my\\040disk rw,relatime shared:7 - xfs /dev/sdb1 rw,attr2,prjquota
31 22 8:33 / /data rw,relatime shared:8 - ext4 /dev/sdc1 rw,prjquota
32 22 0:40 / /btr rw - btrfs /dev/sdd rw,space_cache=v2`;

for (const { path, point, why } of [
  { path: "/var/lib/x", point: "/", why: "the ext4 filesystem is mounted without prjquota" },
  { path: "/mnt/my disk/volumes", point: "/mnt/my disk", why: undefined },
  { path: "/data", point: "/data", why: undefined },
  { path: "/database", point: "/", why: "the ext4 filesystem is mounted without prjquota" },
  { path: "/btr/x", point: "/btr", why: "btrfs has no project quotas" },
]) {
  test(`holdingMount() and whyNoQuota() judge ${path}`, () => {
    const mount = holdingMount(MOUNTINFO, path);
    assert.equal(mount?.point, point);
    assert.equal(whyNoQuota(mount), why);
  });
}

test("projectsIn() reads what lsattr prints", () => {
  assert.deepEqual(projectsIn("    0 --------------e------- /s/a\n1258291200 -----P /s/b\n"), [0, 1258291200]);
});

/** A filesystem with projects, as the three tools show it. */
class FakeFilesystem {
  readonly projects = new Map<string, number>();
  readonly limits = new Map<string, string>();
  readonly run = async (command: string, args: readonly string[]): Promise<string> => {
    const path = args.at(-1) ?? "";
    if (command === "lsattr" && args.includes("-d")) return `${this.projects.get(path) ?? 0} ----P ${path}\n`;
    if (command === "lsattr") return [...this.projects].map(([p, id]) => `${id} ----P ${p}\n`).join("");
    if (command === "chattr") this.projects.set(path, Number(args[1]));
    if (command === "setquota") this.limits.set(args[1] ?? "", `${args[3]}@${path}`);
    return "";
  };
}

test("ProjectQuota.set() gives each folder a project of its own, and keeps it when it grows", async () => {
  const filesystem = new FakeFilesystem();
  const quota = new ProjectQuota(filesystem.run, "/data/volumes", "/data");
  await Promise.all([quota.set("a", 10 * 1024), quota.set("b", 1)]);
  await quota.set("a", 20 * 1024);
  const [a, b] = [filesystem.projects.get("/data/volumes/a"), filesystem.projects.get("/data/volumes/b")];
  assert.notEqual(a, b);
  assert.equal(filesystem.limits.get(String(a)), "20@/data");
  assert.equal(filesystem.limits.get(String(b)), "1@/data");
  await quota.clear("a");
  assert.equal(filesystem.limits.get(String(a)), "0@/data");
});

test("ProjectQuota.clear() leaves projects alone that it did not make", async () => {
  const filesystem = new FakeFilesystem();
  filesystem.projects.set("/data/volumes/a", 7);
  await new ProjectQuota(filesystem.run, "/data/volumes", "/data").clear("a");
  assert.equal(filesystem.limits.size, 0);
});
