import assert from "node:assert/strict";
import test from "node:test";
import type { SandboxConfig } from "../types.ts";
import { pluginInput } from "./cni.ts";
import { addressesOf } from "./cni-result.ts";
import { parseNetworkConfig } from "./network-config.ts";
import { cniCapabilities } from "./pod-attachment.ts";

test("parseNetworkConfig() reads a list, and one plugin alone as a list of one", () => {
  const list = parseNetworkConfig('{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},{"type":"portmap"}]}');
  assert.deepEqual([list.name, list.plugins.map((p) => p.type)], ["n", ["bridge", "portmap"]]);
  const one = parseNetworkConfig('{"cniVersion":"0.4.0","name":"n","type":"ptp","mtu":1400}');
  assert.deepEqual([one.cniVersion, one.plugins[0]?.type, one.plugins[0]?.mtu], ["0.4.0", "ptp", 1400]);
});

for (const { text, want } of [
  { text: "[]", want: /must be an object/ },
  { text: '{"plugins":[{"type":"x"}]}', want: /missing network name/ },
  { text: '{"name":"n","plugins":[]}', want: /missing plugins/ },
  { text: '{"name":"n"}', want: /missing plugin type/ },
  { text: '{"name":"n","plugins":[{"type":"../../bin/sh"}]}', want: /invalid plugin type/ },
]) {
  test(`parseNetworkConfig() refuses ${text}`, () => {
    assert.throws(() => parseNetworkConfig(text), want);
  });
}

test("pluginInput() gives a plugin the capabilities it declares, the network's name and the result before it", () => {
  const network = parseNetworkConfig('{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x"}]}');
  const capabilities = { portMappings: [{ hostPort: 1 }], bandwidth: { ingressRate: 1 } };
  const plugin = { type: "portmap", snat: true, capabilities: { portMappings: true, dns: true } };
  assert.deepEqual(pluginInput(plugin, { network, capabilities }, { ips: [] }), {
    type: "portmap",
    snat: true,
    name: "n",
    cniVersion: "1.0.0",
    runtimeConfig: { portMappings: [{ hostPort: 1 }] },
    prevResult: { ips: [] },
  });
  assert.deepEqual(pluginInput({ type: "x" }, { network, capabilities }, undefined), {
    type: "x",
    name: "n",
    cniVersion: "1.0.0",
  });
});

test("addressesOf() takes the pod's addresses of every version, and none of the host's side", () => {
  const interfaces = [{ name: "cni0" }, { name: "eth0", sandbox: "/proc/1/ns/net" }];
  const ips = [
    { address: "10.0.0.1/24", interface: 0 },
    { address: "10.0.0.5/24", interface: 1 },
    { address: "fd00::5/64" },
  ];
  assert.deepEqual(addressesOf({ interfaces, ips }), ["10.0.0.5", "fd00::5"]);
  assert.deepEqual(addressesOf({ ip4: { ip: "10.1.0.2/16" } }), ["10.1.0.2"]);
  assert.deepEqual(addressesOf({}), []);
});

const config = (more: Partial<SandboxConfig>): SandboxConfig => ({
  metadata: { name: "p", namespace: "n", uid: "u", attempt: 0 },
  ...more,
});

test("cniCapabilities() passes host ports and bandwidth on, in the plugins' terms", () => {
  const port = { protocol: "UDP", containerPort: 53, hostPort: 5353, hostIp: "127.0.0.1" } as const;
  const annotations = { "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1k" };
  assert.deepEqual(cniCapabilities(config({ portMappings: [port, { ...port, hostPort: 0 }], annotations })), {
    portMappings: [{ hostPort: 5353, containerPort: 53, protocol: "udp", hostIP: "127.0.0.1" }],
    bandwidth: {
      ingressRate: 10_000_000,
      ingressBurst: 2 ** 31 - 1,
      egressRate: 1000,
      egressBurst: 2 ** 31 - 1,
    },
  });
});

for (const value of ["1", "2P", "much"]) {
  test(`cniCapabilities() refuses a bandwidth of ${value}`, () => {
    assert.throws(() => cniCapabilities(config({ annotations: { "kubernetes.io/ingress-bandwidth": value } })));
  });
}
