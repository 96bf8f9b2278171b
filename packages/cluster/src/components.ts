/**
 * What runs, and how: the processes of the control plane and of each node as data, in start order. Pure.
 */
import { join } from "node:path";
import type { ClusterConfig, NodeConfig } from "./cluster-config.ts";
import { PAUSE_IMAGE } from "./images/pause-image.ts";
import { insideNode } from "./network.ts";
import type { ClusterPaths } from "./paths.ts";
import type { Tools } from "./tools.ts";

/** How to ask a component whether it is well. */
export type HealthProbe =
  | { readonly kind: "http"; readonly url: string }
  /** The certificate is not verified: the answer says only ok. */
  | { readonly kind: "https"; readonly url: string }
  | { readonly kind: "socket"; readonly path: string }
  /** HTTP on a Unix socket. */
  | { readonly kind: "unix"; readonly socket: string; readonly path: string };

export interface ComponentSpec {
  /** "apiserver", "kubelet@node-1" */
  readonly name: string;
  readonly command: readonly string[];
  readonly health: HealthProbe;
  /** How long it may take to end after SIGTERM before it is killed. */
  readonly stopTimeoutMs: number;
}

export interface ComponentOptions {
  readonly config: ClusterConfig;
  readonly paths: ClusterPaths;
  readonly tools: Tools;
  /** The Node.js binary that runs the daemons. */
  readonly node: string;
  /** The folder with packages/. */
  readonly projectRoot: string;
  /** How a process gets into its node; `insideNode` when absent. */
  readonly enter?: (node: NodeConfig, command: readonly string[]) => readonly string[];
}

const entering = (options: ComponentOptions) => options.enter ?? insideNode;

const daemon = ({ node, projectRoot }: ComponentOptions, name: string, flags: readonly string[]): string[] => [
  node,
  "--disable-warning=ExperimentalWarning",
  join(projectRoot, "packages", name, "src", "main.ts"),
  ...flags,
];

export function planControlPlane(options: ComponentOptions): ComponentSpec[] {
  return [etcd(options), apiserver(options), controllerManager(options), scheduler(options), clusterDns(options)];
}

export function planNode(options: ComponentOptions, node: NodeConfig): ComponentSpec[] {
  return [
    options.config.runtime === "docker" ? docker(options, node) : containerd(options, node),
    podNetwork(options, node),
    localPath(options, node),
    kubelet(options, node),
    kubeProxy(options, node),
  ];
}

function etcd({ config, paths, tools }: ComponentOptions): ComponentSpec {
  const { etcdClient, etcdPeer, etcdMetrics } = config.ports;
  const server = paths.certOf("etcd/server");
  const peer = paths.certOf("etcd/peer");
  const ca = paths.certOf("etcd/ca").cert;
  return {
    name: "etcd",
    command: [
      tools.etcd,
      "--name=knarr",
      `--data-dir=${paths.etcdData}`,
      `--listen-client-urls=https://127.0.0.1:${etcdClient}`,
      `--advertise-client-urls=https://127.0.0.1:${etcdClient}`,
      `--listen-peer-urls=https://127.0.0.1:${etcdPeer}`,
      `--initial-advertise-peer-urls=https://127.0.0.1:${etcdPeer}`,
      `--initial-cluster=knarr=https://127.0.0.1:${etcdPeer}`,
      `--listen-metrics-urls=http://127.0.0.1:${etcdMetrics}`,
      "--client-cert-auth=true",
      `--trusted-ca-file=${ca}`,
      `--cert-file=${server.cert}`,
      `--key-file=${server.key}`,
      "--peer-client-cert-auth=true",
      `--peer-trusted-ca-file=${ca}`,
      `--peer-cert-file=${peer.cert}`,
      `--peer-key-file=${peer.key}`,
      "--snapshot-count=10000",
      "--experimental-watch-progress-notify-interval=5s",
      "--log-level=warn",
    ],
    health: { kind: "http", url: `http://127.0.0.1:${etcdMetrics}/health` },
    stopTimeoutMs: 10_000,
  };
}

function apiserver(options: ComponentOptions): ComponentSpec {
  const { config, paths } = options;
  const cert = (name: string) => paths.certOf(name);
  return {
    name: "apiserver",
    command: daemon(options, "apiserver", [
      `--advertise-address=${config.hostIp}`,
      "--bind-address=0.0.0.0",
      `--secure-port=${config.ports.apiserver}`,
      `--tls-cert-file=${cert("apiserver").cert}`,
      `--tls-private-key-file=${cert("apiserver").key}`,
      `--client-ca-file=${cert("ca").cert}`,
      `--etcd-servers=https://127.0.0.1:${config.ports.etcdClient}`,
      `--etcd-cafile=${cert("etcd/ca").cert}`,
      `--etcd-certfile=${cert("apiserver-etcd-client").cert}`,
      `--etcd-keyfile=${cert("apiserver-etcd-client").key}`,
      `--kubelet-certificate-authority=${cert("ca").cert}`,
      `--kubelet-client-certificate=${cert("apiserver-kubelet-client").cert}`,
      `--kubelet-client-key=${cert("apiserver-kubelet-client").key}`,
      "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
      `--service-account-issuer=https://kubernetes.default.svc.${config.clusterDomain}`,
      `--service-account-key-file=${join(paths.pki, "sa.pub")}`,
      `--service-account-signing-key-file=${join(paths.pki, "sa.key")}`,
      `--service-cluster-ip-range=${config.serviceCidr}`,
      "--service-node-port-range=30000-32767",
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      `--audit-log-path=${join(paths.logs, "audit.log")}`,
      "--audit-log-maxsize=50",
      "--audit-log-maxbackup=2",
      `--requestheader-client-ca-file=${cert("front-proxy-ca").cert}`,
      "--requestheader-allowed-names=front-proxy-client",
      "--requestheader-username-headers=X-Remote-User",
      "--requestheader-group-headers=X-Remote-Group",
      "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]),
    health: { kind: "https", url: `https://127.0.0.1:${config.ports.apiserver}/readyz` },
    stopTimeoutMs: 15_000,
  };
}

function controllerManager(options: ComponentOptions): ComponentSpec {
  const { config, paths } = options;
  return {
    name: "controller-manager",
    command: daemon(options, "controller-manager", [
      `--kubeconfig=${paths.kubeconfigOf("controller-manager")}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${config.ports.controllerManager}`,
      "--leader-elect=true",
      "--use-service-account-credentials=true",
      `--service-account-private-key-file=${join(paths.pki, "sa.key")}`,
      `--root-ca-file=${paths.certOf("ca").cert}`,
      `--cluster-signing-cert-file=${paths.certOf("ca").cert}`,
      `--cluster-signing-key-file=${paths.certOf("ca").key}`,
      "--allocate-node-cidrs=true",
      `--cluster-cidr=${config.podCidr}`,
      "--node-cidr-mask-size=24",
      `--service-cluster-ip-range=${config.serviceCidr}`,
    ]),
    health: { kind: "https", url: `https://127.0.0.1:${config.ports.controllerManager}/healthz` },
    stopTimeoutMs: 10_000,
  };
}

function scheduler(options: ComponentOptions): ComponentSpec {
  const { config, paths } = options;
  return {
    name: "scheduler",
    command: daemon(options, "scheduler", [
      `--kubeconfig=${paths.kubeconfigOf("scheduler")}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${config.ports.scheduler}`,
      `--client-ca-file=${paths.certOf("ca").cert}`,
      "--leader-elect=true",
    ]),
    health: { kind: "https", url: `https://127.0.0.1:${config.ports.scheduler}/healthz` },
    stopTimeoutMs: 10_000,
  };
}

function clusterDns(options: ComponentOptions): ComponentSpec {
  const { config, paths } = options;
  return {
    name: "cluster-dns",
    command: daemon(options, "cluster-dns", [
      `--kubeconfig=${paths.kubeconfigOf("cluster-dns")}`,
      `--listen=${config.hostIp}:53`,
      `--cluster-domain=${config.clusterDomain}`,
      `--health-bind-address=127.0.0.1:${config.ports.dnsHealth}`,
      `--ready-bind-address=127.0.0.1:${config.ports.dnsHealth}`,
      `--metrics-bind-address=127.0.0.1:${config.ports.dnsMetrics}`,
    ]),
    health: { kind: "http", url: `http://127.0.0.1:${config.ports.dnsHealth}/health` },
    stopTimeoutMs: 10_000,
  };
}

function containerd(options: ComponentOptions, node: NodeConfig): ComponentSpec {
  const { tools, paths } = options;
  const files = paths.node(node.name);
  return {
    name: `containerd@${node.name}`,
    command: entering(options)(node, [tools.containerd, "--config", files.containerdConfig, "--log-level", "warn"]),
    health: { kind: "socket", path: files.containerdSocket },
    stopTimeoutMs: 10_000,
  };
}

/**
 * A Docker Engine of the node's own; the host's, if it has one, is not touched. It writes no pid file: the supervisor
 * knows its processes, and an engine refuses to start when the pid in its file is another process's by now. Only the
 * command line can say so, an empty name in the configuration means /var/run/docker.pid, which is the host's engine's.
 */
function docker(options: ComponentOptions, node: NodeConfig): ComponentSpec {
  const files = options.paths.node(node.name);
  return {
    name: `docker@${node.name}`,
    command: entering(options)(node, [options.tools.dockerd, "--config-file", files.dockerConfig, "--pidfile="]),
    health: { kind: "unix", socket: files.dockerSocket, path: "/_ping" },
    stopTimeoutMs: 15_000,
  };
}

function podNetwork(options: ComponentOptions, node: NodeConfig): ComponentSpec {
  const { config, paths } = options;
  const files = paths.node(node.name);
  return {
    name: `pod-network@${node.name}`,
    command: entering(options)(
      node,
      daemon(options, "pod-network", [
        `--kubeconfig=${paths.kubeconfigOf(`pod-network@${node.name}`)}`,
        `--hostname-override=${node.name}`,
        `--cluster-cidr=${config.podCidr}`,
        `--cni-conf-dir=${files.cniConfDir}`,
        `--ipam-dir=${files.ipamDir}`,
        `--healthz-bind-address=${node.ip}:10246`,
      ]),
    ),
    health: { kind: "http", url: `http://${node.ip}:10246/healthz` },
    stopTimeoutMs: 10_000,
  };
}

function localPath(options: ComponentOptions, node: NodeConfig): ComponentSpec {
  const { paths } = options;
  return {
    name: `local-path@${node.name}`,
    command: entering(options)(
      node,
      daemon(options, "local-path", [
        `--kubeconfig=${paths.kubeconfigOf(`local-path@${node.name}`)}`,
        `--hostname-override=${node.name}`,
        `--storage-dir=${paths.node(node.name).volumes}`,
        `--healthz-bind-address=${node.ip}:10245`,
      ]),
    ),
    health: { kind: "http", url: `http://${node.ip}:10245/healthz` },
    stopTimeoutMs: 10_000,
  };
}

/**
 * Nodes of one machine share its disk, which is often nearly full: upstream's shares (15 % of the disk free, images
 * collected from 85 %) would evict pods and remove images that no registry brings back. kind does without them, too.
 */
const LAPTOP_DISK = [
  "--eviction-hard=memory.available<100Mi,nodefs.available<100Mi,nodefs.inodesFree<1%,imagefs.available<100Mi",
  "--image-gc-high-threshold=100",
];

/** How the kubelet reaches the runtime, and with Docker what a CRI runtime would know by itself. */
function runtimeFlags({ config, paths, tools }: ComponentOptions, node: NodeConfig): string[] {
  const files = paths.node(node.name);
  if (config.runtime === "containerd") return [`--container-runtime-endpoint=unix://${files.containerdSocket}`];
  return [
    `--container-runtime-endpoint=docker://${files.dockerSocket}`,
    `--cni-conf-dir=${files.cniConfDir}`,
    `--cni-bin-dir=${tools.cniBinDir}`,
    `--pod-infra-container-image=${PAUSE_IMAGE}`,
  ];
}

function kubelet(options: ComponentOptions, node: NodeConfig): ComponentSpec {
  const { config, paths } = options;
  const files = paths.node(node.name);
  const serving = paths.certOf(`kubelet-${node.name}`);
  return {
    name: `kubelet@${node.name}`,
    command: entering(options)(
      node,
      daemon(options, "kubelet", [
        `--kubeconfig=${paths.kubeconfigOf(`kubelet@${node.name}`)}`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.ip}`,
        ...runtimeFlags(options, node),
        `--root-dir=${files.kubeletRoot}`,
        `--pod-log-dir=${files.podLogs}`,
        `--pod-manifest-path=${files.manifests}`,
        `--resolv-conf=${files.resolvConf}`,
        `--cluster-dns=${config.dnsServiceIp}`,
        `--cluster-domain=${config.clusterDomain}`,
        `--cgroup-root=${cgroupOf(config, node)}`,
        "--cgroup-driver=cgroupfs",
        ...LAPTOP_DISK,
        `--tls-cert-file=${serving.cert}`,
        `--tls-private-key-file=${serving.key}`,
        `--client-ca-file=${paths.certOf("ca").cert}`,
        "--authorization-mode=Webhook",
        `--healthz-bind-address=${node.ip}`,
      ]),
    ),
    health: { kind: "http", url: `http://${node.ip}:10248/healthz` },
    stopTimeoutMs: 15_000,
  };
}

function kubeProxy(options: ComponentOptions, node: NodeConfig): ComponentSpec {
  const { config, paths } = options;
  return {
    name: `kube-proxy@${node.name}`,
    command: entering(options)(
      node,
      daemon(options, "kube-proxy", [
        `--kubeconfig=${paths.kubeconfigOf(`kube-proxy@${node.name}`)}`,
        `--hostname-override=${node.name}`,
        `--cluster-cidr=${config.podCidr}`,
        "--conntrack-max-per-core=0",
      ]),
    ),
    health: { kind: "http", url: `http://${node.ip}:10256/livez` },
    stopTimeoutMs: 10_000,
  };
}

/** The cgroup that holds a node's pods. */
export function cgroupOf(config: ClusterConfig, node: NodeConfig): string {
  return `/${config.name}/${node.name}`;
}
