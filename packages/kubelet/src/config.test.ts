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
