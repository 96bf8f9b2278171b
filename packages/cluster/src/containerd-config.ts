/** A node's containerd: its configuration, and the OCI runtime wrapper for machines that lack a capability. Pure. */
import type { NodePaths } from "./paths.ts";

export interface ContainerdOptions {
  readonly paths: NodePaths;
  readonly cniBinDir: string;
  readonly sandboxImage: string;
  /** This machine lacks CAP_SYS_RESOURCE: OOM scores can't be lowered, and containers can't be given the capability. */
  readonly restricted: boolean;
}

/** config.toml, version 2: containerd 1.6 and 1.7 read it, 2.x migrates it. */
export function renderContainerdConfig({ paths, cniBinDir, sandboxImage, restricted }: ContainerdOptions): string {
  const text = (value: string) => JSON.stringify(value);
  return `version = 2
root = ${text(paths.containerdRoot)}
state = ${text(paths.containerdState)}
${restricted ? "oom_score = 0\n" : ""}disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = ${text(paths.containerdSocket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${text(sandboxImage)}
  restrict_oom_score_adj = ${restricted}
  # So that a cluster's namespaces go with its folder.
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${text(cniBinDir)}
    conf_dir = ${text(paths.cniConfDir)}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
${restricted ? `      BinaryName = ${text(paths.runcWrapper)}\n` : ""}`;
}

/**
 * A shell script that takes CAP_SYS_RESOURCE, and OOM scores that only it may set, out of what runc is asked to create or
 * exec, then becomes runc.
 */
export function renderRuncWrapper(runc: string): string {
  return `#!/bin/sh
strip() { [ -f "$1" ] && sed -i 's/,"CAP_SYS_RESOURCE"//g; s/"CAP_SYS_RESOURCE",\\{0,1\\}//g; s/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$1"; }
previous=
for word in "$@"; do
  case "$previous" in
    --bundle) strip "$word/config.json" ;;
    --process) strip "$word" ;;
  esac
  previous=$word
done
exec ${runc} "$@"
`;
}
