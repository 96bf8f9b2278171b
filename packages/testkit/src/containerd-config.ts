/** The configuration of a test's own containerd, and the OCI runtime wrapper that it needs where a capability is missing. Pure. */

export interface ContainerdConfigOptions {
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  readonly sandboxImage: string;
  /** Where specifications of CDI devices are looked for; of no meaning to 1.6. */
  readonly cdiSpecDir: string;
  /** The machine lacks CAP_SYS_RESOURCE: OOM scores can't be lowered, and containers can't be given the capability. */
  readonly restricted: boolean;
  /** Path of the wrapper of `renderRuncWrapper`, used by the runtime when restricted. */
  readonly runcWrapper: string;
}

/** config.toml, version 2: containerd 1.6 and 1.7 read it, 2.x migrates it. */
export function renderContainerdConfig(options: ContainerdConfigOptions): string {
  const text = (value: string) => JSON.stringify(value);
  return `version = 2
root = ${text(options.root)}
state = ${text(options.state)}
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
  address = ${text(options.socket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${text(options.sandboxImage)}
  restrict_oom_score_adj = ${options.restricted}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_cdi = true
  cdi_spec_dirs = [${text(options.cdiSpecDir)}]
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${text(options.cniBinDir)}
    conf_dir = ${text(options.cniConfDir)}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
${options.restricted ? `      BinaryName = ${text(options.runcWrapper)}\n` : ""}`;
}

/** A CNI network of one bridge in the current network namespace. Pods reach each other and the namespace's own addresses. */
export function renderBridgeConflist(subnet: string, dataDir: string): string {
  return JSON.stringify({
    cniVersion: "0.4.0",
    name: "knarr-test",
    plugins: [
      {
        type: "bridge",
        bridge: "knarrtest0",
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: { type: "host-local", dataDir, ranges: [[{ subnet }]], routes: [{ dst: "0.0.0.0/0" }] },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: false },
    ],
  });
}
