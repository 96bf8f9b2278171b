/** Certificates, keys and kubeconfigs. */
import { mkdir } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { OWN_USERS } from "../addons.ts";
import type { ClusterConfig } from "../cluster-config.ts";
import { writeKubeconfig } from "../kubeconfigs.ts";
import type { ClusterPaths } from "../paths.ts";
import { type Authority, ensureAuthority, ensureCertificate, ensureServiceAccountKeys, type LeafSpec } from "../pki.ts";
import type { Phase } from "./phase.ts";

export const credentials: Phase = {
  name: "certificates",
  async run({ config, paths, note }) {
    await mkdir(paths.pki, { recursive: true, mode: 0o700 });
    await mkdir(paths.kubeconfigs, { recursive: true, mode: 0o700 });
    const nowMs = Date.now();
    const authority = (name: string, commonName: string) => ensureAuthority(commonName, paths.certOf(name), nowMs);
    const ca = await authority("ca", "kubernetes");
    const etcdCa = await authority("etcd/ca", "etcd-ca");
    const frontProxyCa = await authority("front-proxy-ca", "front-proxy-ca");
    const leaf = async (name: string, by: Authority, spec: LeafSpec) => {
      if (await ensureCertificate(spec, paths.certOf(name), by, nowMs)) note(name);
    };
    await leaf("apiserver", ca, { commonName: "kube-apiserver", hosts: apiserverHosts(config), usages: ["server"] });
    await leaf("apiserver-kubelet-client", ca, {
      commonName: "kube-apiserver-kubelet-client",
      organizations: ["kubeadm:cluster-admins"],
      usages: ["client"],
    });
    await leaf("front-proxy-client", frontProxyCa, { commonName: "front-proxy-client", usages: ["client"] });
    const etcdHosts = ["localhost", "127.0.0.1", hostname()];
    await leaf("etcd/server", etcdCa, { commonName: "knarr", hosts: etcdHosts, usages: ["server", "client"] });
    await leaf("etcd/peer", etcdCa, { commonName: "knarr", hosts: etcdHosts, usages: ["server", "client"] });
    await leaf("apiserver-etcd-client", etcdCa, { commonName: "kube-apiserver-etcd-client", usages: ["client"] });
    await ensureServiceAccountKeys(join(paths.pki, "sa.key"), join(paths.pki, "sa.pub"));
    for (const node of config.nodes) {
      await leaf(`kubelet-${node.name}`, ca, {
        commonName: `system:node:${node.name}`,
        organizations: ["system:nodes"],
        hosts: [node.name, node.ip],
        usages: ["server"],
      });
    }
    for (const user of usersOf(config)) await ensureUser(user, ca, config, paths, nowMs);
  },
};

/** Everything that the API server is called by. */
function apiserverHosts(config: ClusterConfig): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).filter((a) => !a.internal));
  return [
    "localhost",
    "127.0.0.1",
    "::1",
    hostname(),
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    `kubernetes.default.svc.${config.clusterDomain}`,
    config.kubernetesServiceIp,
    config.hostIp,
    // Link-local addresses with a zone have no place in a certificate.
    ...addresses.map((a) => a.address).filter((a) => !a.startsWith("fe80:") && a !== config.hostIp),
  ];
}

interface UserSpec {
  readonly file: string;
  readonly commonName: string;
  readonly organizations?: readonly string[];
  readonly server: string;
}

function usersOf(config: ClusterConfig): UserSpec[] {
  const local = `https://127.0.0.1:${config.ports.apiserver}`;
  const fromNodes = `https://${config.hostIp}:${config.ports.apiserver}`;
  return [
    { file: "admin", commonName: "kubernetes-admin", organizations: ["system:masters"], server: local },
    { file: "controller-manager", commonName: "system:kube-controller-manager", server: local },
    { file: "scheduler", commonName: "system:kube-scheduler", server: local },
    { file: "cluster-dns", commonName: OWN_USERS.clusterDns, server: local },
    ...config.nodes.flatMap(({ name }) => [
      {
        file: `kubelet@${name}`,
        commonName: `system:node:${name}`,
        organizations: ["system:nodes"],
        server: fromNodes,
      },
      { file: `kube-proxy@${name}`, commonName: "system:kube-proxy", server: fromNodes },
      { file: `pod-network@${name}`, commonName: OWN_USERS.podNetwork, server: fromNodes },
      { file: `local-path@${name}`, commonName: OWN_USERS.localPath, server: fromNodes },
    ]),
  ];
}

async function ensureUser(
  user: UserSpec,
  ca: Authority,
  config: ClusterConfig,
  paths: ClusterPaths,
  nowMs: number,
): Promise<void> {
  const files = paths.certOf(`users/${user.file}`);
  const { commonName, organizations = [] } = user;
  await ensureCertificate({ commonName, organizations, usages: ["client"] }, files, ca, nowMs);
  const spec = {
    clusterName: config.name,
    user: commonName,
    server: user.server,
    caFile: paths.certOf("ca").cert,
    credentials: files,
  };
  await writeKubeconfig(paths.kubeconfigOf(user.file), spec);
  if (user.file === "admin") await writeKubeconfig(paths.adminKubeconfig, spec);
}
