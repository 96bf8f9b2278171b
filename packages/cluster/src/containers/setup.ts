/** The first container: certificates, keys and kubeconfigs of the cluster, once for all the others. Ends when done. */
import { chown, copyFile, mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { OWN_USERS } from "../addons.ts";
import { writeKubeconfig } from "../kubeconfigs.ts";
import { writeCluster } from "../load-cluster.ts";
import { clusterPaths } from "../paths.ts";
import { issueCredentials, usersOfNode } from "../phases/credentials.ts";
import { APISERVER_URL, containerCluster, DATA_DIR, GATEWAY } from "./config.ts";

/** Where the host's folder for its kubeconfig is mounted. */
const KUBECONFIG_DIR = "/kubeconfig";
/** Whom etcd, scheduler and controller manager run as. */
const UNPRIVILEGED = 65_532;

export async function runSetup(ip: string, apiserverPort: string): Promise<void> {
  const config = containerCluster(ip);
  const paths = clusterPaths(DATA_DIR);
  await writeCluster(config);
  const server = APISERVER_URL;
  await issueCredentials({
    clusterName: config.name,
    paths,
    apiserverHosts: [
      ...["localhost", "127.0.0.1", "::1", "apiserver", "host.docker.internal"],
      ...[
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        `kubernetes.default.svc.${config.clusterDomain}`,
      ],
      config.kubernetesServiceIp,
    ],
    etcdHosts: ["localhost", "127.0.0.1", "etcd"],
    nodes: [],
    users: [
      { file: "admin", commonName: "kubernetes-admin", organizations: ["system:masters"], server },
      { file: "controller-manager", commonName: "system:kube-controller-manager", server },
      { file: "scheduler", commonName: "system:kube-scheduler", server },
      { file: "cluster-dns", commonName: OWN_USERS.clusterDns, server },
      ...usersOfNode(GATEWAY, server).filter(({ file }) => file.startsWith("kube-proxy")),
    ],
    note: (name) => process.stdout.write(`certificate ${name}\n`),
  });
  await writeHostKubeconfig(config.name, apiserverPort);
  await mkdir(paths.etcdData, { recursive: true, mode: 0o700 });
  await mkdir(paths.logs, { recursive: true });
  for (const folder of [paths.etcdData, paths.pki, paths.kubeconfigs]) await giveTo(UNPRIVILEGED, folder);
  process.stdout.write("the cluster's credentials are ready\n");
}

/** The administrator's, with the address that compose publishes. */
async function writeHostKubeconfig(clusterName: string, port: string): Promise<void> {
  const paths = clusterPaths(DATA_DIR);
  const file = join(DATA_DIR, "host.conf");
  await writeKubeconfig(file, {
    clusterName,
    user: "kubernetes-admin",
    server: `https://127.0.0.1:${port}`,
    caFile: paths.certOf("ca").cert,
    credentials: paths.certOf("users/admin"),
  });
  await handOut(file, KUBECONFIG_DIR);
}

/**
 * Copies the file into a folder as "config", owned by whoever owns the folder, whole or not at all.
 * @returns false when there is no such folder: nothing is mounted there, so nobody wants it
 */
export async function handOut(file: string, folder: string): Promise<boolean> {
  const target = join(folder, "config");
  try {
    const { uid, gid } = await stat(folder);
    await copyFile(file, `${target}.new`);
    await chown(`${target}.new`, uid, gid);
    await rename(`${target}.new`, target);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !(await exists(folder))) return false;
    throw new Error(
      `the kubeconfig can't be written to the folder .knarr beside docker-compose.yml (${code}): ` +
        "it must be a folder in which the engine may write; is it on a read-only or network disk, or is there something " +
        "called .knarr/config that is not a file?",
      { cause: error },
    );
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/** etcd may be at work in there: what it takes away meanwhile needs no owner. */
export async function giveTo(uid: number, folder: string): Promise<void> {
  await chown(folder, uid, uid);
  for (const entry of await readdir(folder, { recursive: true })) {
    await chown(join(folder, entry), uid, uid).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }
}
