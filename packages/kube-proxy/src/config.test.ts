import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "@knarr/daemon/flags.ts";
import { flags, loadConfig } from "./config.ts";

const load = (...argv: string[]) => loadConfig(parseFlags({ name: "kube-proxy", description: "", flags }, argv).values);

test("loadConfig() has upstream's addresses and periods by default", () => {
  const config = load();
  assert.deepEqual(config.healthz, { host: "0.0.0.0", port: 10256 });
  assert.deepEqual(config.metrics, { host: "127.0.0.1", port: 10249 });
  assert.equal(config.syncPeriodMs, 30_000);
  assert.equal(config.masqueradeMark, 0x4000);
  assert.equal(config.nodePortAddresses, undefined);
});

test("loadConfig() reads a dual-stack cluster range", () => {
  const config = load("--cluster-cidr=10.244.0.0/16,fd00:10::/48", "--hostname-override=Node-1");
  assert.deepEqual(config.detectLocal, {
    kind: "clusterCidr",
    prefixes: { ipv4: "10.244.0.0/16", ipv6: "fd00:10::/48" },
  });
  assert.equal(config.nodeName, "node-1");
});

test("loadConfig() takes the periods of mode ipvs for mode ipvs only", () => {
  const argv = ["--ipvs-sync-period=7s", "--ipvs-min-sync-period=2s", "--ipvs-udp-timeout=30s"];
  assert.equal(load(...argv).syncPeriodMs, 30_000);
  const config = load("--proxy-mode=ipvs", ...argv);
  assert.deepEqual([config.proxyMode, config.syncPeriodMs, config.minSyncPeriodMs], ["ipvs", 7000, 2000]);
  assert.deepEqual([config.ipvs.scheduler, config.ipvs.udpTimeoutMs], ["rr", 30_000]);
});

for (const [argv, message] of [
  [["--cluster-cidr=10.244.0.0"], /--cluster-cidr: must be a CIDR/],
  [["--ipvs-exclude-cidrs=10.0.0.1"], /--ipvs-exclude-cidrs: must be CIDRs/],
  [["--ipvs-scheduler=rr -p 1"], /--ipvs-scheduler: must be a name/],
  [["--ipvs-sync-period=0s"], /--ipvs-sync-period must be greater than 0/],
  [["--nodeport-addresses=eth0"], /--nodeport-addresses: must be CIDRs or "primary"/],
  [["--healthz-bind-address=1.2.3.4:99999"], /--healthz-bind-address: must be address:port/],
  [["--detect-local-mode=BridgeInterface"], /needs --pod-bridge-interface/],
  [["--iptables-sync-period=0s"], /must be greater than 0/],
] as const) {
  test(`loadConfig() refuses ${argv.join(" ")}`, () => assert.throws(() => load(...argv), message));
}
