import assert from "node:assert/strict";
import test from "node:test";
import { hugePageLimits } from "../core/qos.ts";
import { container, pod } from "../core/testing.ts";
import { missingCapabilities } from "./capabilities.ts";
import { reservedLimits } from "./enforce-allocatable.ts";

test("reservedLimits() limits what is reserved, and only processors where memory must not be", () => {
  const reserved = { cpu: "500m", memory: "1Gi", pid: "1000", "ephemeral-storage": "1Gi" };
  assert.deepEqual(reservedLimits(reserved, false), { cpuShares: 512, memoryLimitBytes: 2 ** 30, pidsMax: 1000 });
  assert.deepEqual(reservedLimits(reserved, true), { cpuShares: 512 });
  assert.deepEqual(reservedLimits({}, false), {});
});

test("hugePageLimits() gives a pod what it asked for, of every other size none", () => {
  const resources = { requests: { "hugepages-2Mi": "4Mi" }, limits: { "hugepages-2Mi": "4Mi" } };
  const asking = pod({ containers: [container("main", { resources })] });
  const sizes = ["hugepages-2Mi", "hugepages-1Gi", "hugepages-64Ki"];
  assert.deepEqual(hugePageLimits(asking, sizes), { "2MB": 4 * 2 ** 20, "1GB": 0, "64KB": 0 });
});

test("missingCapabilities() names what is missing and what will not work", () => {
  const names = (mask: string) => missingCapabilities(`Name:\tnode\nCapEff:\t${mask}\n`).map((m) => m.name);
  assert.deepEqual(names("000001ffffffffff"), []);
  assert.deepEqual(names("000001fffeffffff"), ["CAP_SYS_RESOURCE"]);
  assert.ok(names("0000000000000000").includes("CAP_SYS_ADMIN"));
});
