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

export interface CredentialsSpec {
  readonly clusterName: string;
  readonly paths: ClusterPaths;
  readonly apiserverHosts: readonly string[];
  readonly etcdHosts: readonly string[];
  /** Nodes whose kubelets get a serving certificate. */
  readonly nodes: readonly { readonly name: string; readonly ip: string }[];
  readonly users: readonly UserSpec[];
  readonly note: (name: string) => void;
}

export const credentials: Phase = {
  name: "certificates",
  async run({ config, paths, note }) {
    await issueCredentials({
      clusterName: config.name,
      paths,
      apiserverHosts: apiserverHosts(config),
      etcdHosts: ["localhost", "127.0.0.1", hostname()],
      nodes: config.nodes,
      users: usersOf(config),
      note,
    });
  },
};

/** Makes what is missing, expires soon or is for other names. */
export async function issueCredentials(spec: CredentialsSpec): Promise<void> {
  const { paths, note } = spec;
  await mkdir(paths.pki, { recursive: true, mode: 0o700 });
  await mkdir(paths.kubeconfigs, { recursive: true, mode: 0o700 });
  const nowMs = Date.now();
  const authority = (name: string, commonName: string) => ensureAuthority(commonName, paths.certOf(name), nowMs);
  const ca = await authority("ca", "kubernetes");
  const etcdCa = await authority("etcd/ca", "etcd-ca");
  const frontProxyCa = await authority("front-proxy-ca", "front-proxy-ca");
  const leaf = async (name: string, by: Authority, leafSpec: LeafSpec) => {
    if (await ensureCertificate(leafSpec, paths.certOf(name), by, nowMs)) note(name);
  };
  await leaf("apiserver", ca, { commonName: "kube-apiserver", hosts: spec.apiserverHosts, usages: ["server"] });
  await leaf("apiserver-kubelet-client", ca, {
    commonName: "kube-apiserver-kubelet-client",
    organizations: ["kubeadm:cluster-admins"],
    usages: ["client"],
  });
  await leaf("front-proxy-client", frontProxyCa, { commonName: "front-proxy-client", usages: ["client"] });
  const { etcdHosts } = spec;
  await leaf("etcd/server", etcdCa, { commonName: "knarr", hosts: etcdHosts, usages: ["server", "client"] });
  await leaf("etcd/peer", etcdCa, { commonName: "knarr", hosts: etcdHosts, usages: ["server", "client"] });
  await leaf("apiserver-etcd-client", etcdCa, { commonName: "kube-apiserver-etcd-client", usages: ["client"] });
  await ensureServiceAccountKeys(join(paths.pki, "sa.key"), join(paths.pki, "sa.pub"));
  await issueNodeCredentials(spec);
}

/** The part of it that one more node needs; the authorities exist. */
export async function issueNodeCredentials({
  clusterName,
  paths,
  nodes,
  users,
  note,
}: NodeCredentialsSpec): Promise<void> {
  const nowMs = Date.now();
  const ca = await ensureAuthority("kubernetes", paths.certOf("ca"), nowMs);
  for (const { name, ip } of nodes) {
    const leafSpec: LeafSpec = {
      commonName: `system:node:${name}`,
      organizations: ["system:nodes"],
      hosts: [name, ip],
      usages: ["server"],
    };
    if (await ensureCertificate(leafSpec, paths.certOf(`kubelet-${name}`), ca, nowMs)) note(`kubelet-${name}`);
  }
  for (const user of users) await ensureUser(user, ca, { clusterName, paths, nowMs });
}

export type NodeCredentialsSpec = Pick<CredentialsSpec, "clusterName" | "paths" | "nodes" | "users" | "note">;

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

export interface UserSpec {
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
    ...config.nodes.flatMap(({ name }) => usersOfNode(name, fromNodes)),
  ];
}

/** `server`: the API server as the node reaches it. */
export function usersOfNode(name: string, server: string): UserSpec[] {
  return [
    { file: `kubelet@${name}`, commonName: `system:node:${name}`, organizations: ["system:nodes"], server },
    { file: `kube-proxy@${name}`, commonName: "system:kube-proxy", server },
    { file: `pod-network@${name}`, commonName: OWN_USERS.podNetwork, server },
    { file: `local-path@${name}`, commonName: OWN_USERS.localPath, server },
  ];
}

async function ensureUser(
  user: UserSpec,
  ca: Authority,
  { clusterName, paths, nowMs }: { readonly clusterName: string; readonly paths: ClusterPaths; readonly nowMs: number },
): Promise<void> {
  const files = paths.certOf(`users/${user.file}`);
  const { commonName, organizations = [] } = user;
  await ensureCertificate({ commonName, organizations, usages: ["client"] }, files, ca, nowMs);
  const spec = {
    clusterName,
    user: commonName,
    server: user.server,
    caFile: paths.certOf("ca").cert,
    credentials: files,
  };
  await writeKubeconfig(paths.kubeconfigOf(user.file), spec);
  if (user.file === "admin") await writeKubeconfig(paths.adminKubeconfig, spec);
}
