import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "@knarr/daemon/flags.ts";
import { flags, loadConfig } from "../config.ts";
import { configz } from "./configz.ts";

async function show(...args: string[]) {
  const argv = ["--pod-manifest-path=/manifests", ...args];
  const config = await loadConfig(parseFlags({ name: "kubelet", description: "", flags }, argv).values, argv);
  return (configz(config) as { kubeletconfig: Record<string, unknown> }).kubeletconfig;
}

test("configz() tells what is in effect in a KubeletConfiguration's form, and leaves out what is empty", async () => {
  const shown = await show("--max-pods=7", "--client-ca-file=/ca.crt");
  assert.equal(shown.maxPods, 7);
  assert.equal(shown.syncFrequency, "1m0s");
  assert.equal(shown.cpuManagerPolicy, "none");
  assert.deepEqual(shown.authentication, {
    webhook: { enabled: true, cacheTTL: "2m0s" },
    x509: { clientCAFile: "/ca.crt" },
    anonymous: { enabled: false },
  });
  assert.deepEqual(shown.authorization, {
    webhook: { cacheAuthorizedTTL: "5m0s", cacheUnauthorizedTTL: "30s" },
    mode: "Webhook",
  });
  assert.deepEqual(shown.crashLoopBackOff, { maxContainerRestartPeriod: "5m0s" });
  assert.equal((shown.evictionHard as Record<string, string>)["memory.available"], "100Mi");
  for (const absent of ["tlsCertFile", "clusterDNS", "systemReserved", "maxParallelImagePulls"]) {
    assert.ok(!(absent in shown), absent);
  }
  assert.equal((await show("--serialize-image-pulls=false")).maxParallelImagePulls, 5);
});
