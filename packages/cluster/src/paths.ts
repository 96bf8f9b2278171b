/** Where everything lies below the data directory. Source of the pki layout: kubeadm. */
import { join } from "node:path";

export interface NodePaths {
  /** A shared mount: what the kubelet mounts below it, containerd sees. */
  readonly dir: string;
  readonly containerdConfig: string;
  readonly containerdRoot: string;
  readonly containerdState: string;
  readonly containerdSocket: string;
  /** Docker Engine's, where the nodes use it. */
  readonly dockerConfig: string;
  readonly dockerData: string;
  readonly dockerExec: string;
  readonly dockerSocket: string;
  readonly runcWrapper: string;
  readonly cniConfDir: string;
  readonly ipamDir: string;
  readonly kubeletRoot: string;
  readonly podLogs: string;
  /** Persistent volumes of the local-path class. */
  readonly volumes: string;
  readonly manifests: string;
  readonly resolvConf: string;
}

export interface ClusterPaths {
  readonly clusterFile: string;
  readonly adminKubeconfig: string;
  readonly pki: string;
  readonly kubeconfigs: string;
  readonly etcdData: string;
  readonly logs: string;
  readonly run: string;
  readonly supervisorSocket: string;
  readonly images: string;
  kubeconfigOf(component: string): string;
  certOf(name: string): { readonly cert: string; readonly key: string };
  node(name: string): NodePaths;
}

export function clusterPaths(dataDir: string): ClusterPaths {
  const pki = join(dataDir, "pki");
  const run = join(dataDir, "run");
  const kubeconfigs = join(dataDir, "kubeconfigs");
  return {
    clusterFile: join(dataDir, "cluster.json"),
    adminKubeconfig: join(dataDir, "kubeconfig"),
    pki,
    kubeconfigs,
    etcdData: join(dataDir, "etcd"),
    logs: join(dataDir, "log"),
    run,
    supervisorSocket: join(run, "supervisor.sock"),
    images: join(dataDir, "images"),
    kubeconfigOf: (component) => join(kubeconfigs, `${component}.conf`),
    certOf: (name) => ({ cert: join(pki, `${name}.crt`), key: join(pki, `${name}.key`) }),
    node: (name) => nodePaths(join(dataDir, "nodes", name)),
  };
}

function nodePaths(dir: string): NodePaths {
  return {
    dir,
    containerdConfig: join(dir, "containerd.toml"),
    containerdRoot: join(dir, "containerd", "root"),
    containerdState: join(dir, "containerd", "state"),
    containerdSocket: join(dir, "containerd.sock"),
    dockerConfig: join(dir, "docker", "daemon.json"),
    dockerData: join(dir, "docker", "data"),
    dockerExec: join(dir, "docker", "exec"),
    dockerSocket: join(dir, "docker.sock"),
    runcWrapper: join(dir, "runc"),
    cniConfDir: join(dir, "cni", "net.d"),
    ipamDir: join(dir, "cni", "ipam"),
    kubeletRoot: join(dir, "kubelet"),
    podLogs: join(dir, "log", "pods"),
    volumes: join(dir, "volumes"),
    manifests: join(dir, "manifests"),
    resolvConf: join(dir, "resolv.conf"),
  };
}
