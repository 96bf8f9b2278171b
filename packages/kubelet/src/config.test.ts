import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { parseFlags } from "@knarr/daemon/flags.ts";
import { flags, loadConfig } from "./config.ts";

async function load(file: string) {
  const directory = await mkdtemp(join(tmpdir(), "knarr-config-"));
  try {
    const path = join(directory, "kubelet.yaml");
    await writeFile(path, `kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n${file}\n`);
    const argv = [`--config=${path}`, "--pod-manifest-path=/nowhere"];
    return await loadConfig(parseFlags({ name: "kubelet", description: "", flags }, argv).values, argv);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const periods = [
  { file: "maxPods: 5", want: 300_000 },
  { file: "crashLoopBackOff:\n  maxContainerRestartPeriod: 90s", want: 90_000 },
  { file: "crashLoopBackOff: {}", want: 300_000 },
];
for (const { file, want } of periods) {
  test(`loadConfig() waits ${want} ms at most between restarts for ${JSON.stringify(file)}`, async () => {
    assert.equal((await load(file)).maxContainerRestartPeriodMs, want);
  });
}

test("loadConfig() refuses a longest wait between restarts that upstream refuses", async () => {
  for (const period of ["301s", "500ms"]) {
    const file = `crashLoopBackOff:\n  maxContainerRestartPeriod: ${period}`;
    await assert.rejects(load(file), /crashLoopBackOff.maxContainerRestartPeriod: must be between 1s and 300s/);
  }
});

test("loadConfig() gives pods with users of their own as many ids as the file says, in units that upstream takes", async () => {
  assert.equal((await load("maxPods: 5")).idsPerPod, 65_536);
  assert.equal((await load("userNamespaces:\n  idsPerPod: 131072")).idsPerPod, 131_072);
  for (const wrong of ["0", "65537", "4294967296", "many"]) {
    await assert.rejects(
      load(`userNamespaces:\n  idsPerPod: ${wrong}`),
      /userNamespaces.idsPerPod: must be a multiple/,
    );
  }
});

test("loadConfig() lets pods use swap only when the file says so", async () => {
  assert.equal((await load("maxPods: 5")).swapBehavior, "NoSwap");
  assert.equal((await load("memorySwap:\n  swapBehavior: LimitedSwap")).swapBehavior, "LimitedSwap");
  await assert.rejects(load("memorySwap:\n  swapBehavior: UnlimitedSwap"), /memorySwap.swapBehavior: must be one of/);
});

test("loadConfig() takes named processors for the reserved amount", async () => {
  const text = "reservedSystemCPUs: 0,2-3\nsystemReserved:\n  memory: 1Gi\nkubeReserved:\n  cpu: 500m\n  memory: 2Gi";
  const { systemReserved, kubeReserved } = await load(text);
  assert.deepEqual([systemReserved, kubeReserved], [{ memory: "1Gi", cpu: "3" }, { memory: "2Gi" }]);
});

for (const [text, message] of [
  ["reservedSystemCPUs: 3-1", /--reserved-cpus: "3-1" is no set of CPUs/],
  ["cpuManagerPolicyOptions:\n  full-pcpus-only: 'true'", /the policy "none" has no options/],
  ["cpuManagerPolicy: static\ncpuManagerPolicyOptions:\n  other: 'true'", /"other" is none of full-pcpus-only,/],
  ["cpuManagerPolicy: static\ncpuManagerPolicyOptions:\n  full-pcpus-only: '1'", /must be true or false/],
] as const) {
  test(`loadConfig() refuses ${JSON.stringify(text)}`, async () => {
    await assert.rejects(load(text), message);
  });
}
