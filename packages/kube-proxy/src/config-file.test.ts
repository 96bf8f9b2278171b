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
    "--masquerade-all=false",
    "--iptables-min-sync-period=1s",
    "--conntrack-tcp-timeout-established=0s",
  ]);
});

for (const text of ["", "kind: Pod", "[", "kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v9"]) {
  test(`configFileFlags() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => configFileFlags("x.yaml", text), /^UsageError: --config: x\.yaml/);
  });
}
