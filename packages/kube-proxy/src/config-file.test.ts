import assert from "node:assert/strict";
import { test } from "node:test";
import { configFileFlags } from "./config-file.ts";

test("configFileFlags() reads a file as kubeadm writes it", () => {
  const text = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection:
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
conntrack: { maxPerCore: null, tcpEstablishedTimeout: 0s }
detectLocalMode: ""
iptables: { masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 1s, syncPeriod: 0s }
metricsBindAddress: ""
mode: iptables
nodePortAddresses: [10.0.0.0/8, fd00::/8]
`;
  assert.deepEqual(configFileFlags("x", text), [
    "--kubeconfig=/var/lib/kube-proxy/kubeconfig.conf",
    "--proxy-mode=iptables",
    "--cluster-cidr=10.244.0.0/16",
    "--nodeport-addresses=10.0.0.0/8,fd00::/8",
    "--conntrack-tcp-timeout-established=0s",
    "--masquerade-all=false",
    "--iptables-min-sync-period=1s",
  ]);
});

test("configFileFlags() takes the section of the mode", () => {
  const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
  const sections =
    "iptables: { masqueradeBit: 10, syncPeriod: 10s }\nnftables: { masqueradeBit: 11, syncPeriod: 0s }\n";
  assert.deepEqual(configFileFlags("x", `${head}${sections}mode: nftables`), [
    "--proxy-mode=nftables",
    "--iptables-masquerade-bit=11",
  ]);
  assert.deepEqual(configFileFlags("x", `${head}${sections}mode: ""`), [
    "--iptables-masquerade-bit=10",
    "--iptables-sync-period=10s",
    "--iptables-masquerade-bit=11",
  ]);
});

for (const text of ["", "kind: Pod", "[", "kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v9"]) {
  test(`configFileFlags() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => configFileFlags("x.yaml", text), /^UsageError: --config: x\.yaml/);
  });
}
