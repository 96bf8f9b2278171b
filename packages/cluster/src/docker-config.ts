/** A node's Docker Engine (`up --runtime docker`): its daemon.json. Pure. */
import type { NodePaths } from "./paths.ts";

export interface DockerConfigOptions {
  readonly paths: NodePaths;
  /** This machine lacks CAP_SYS_RESOURCE: OOM scores can't be lowered, and containers can't be given the capability. */
  readonly restricted: boolean;
}

/**
 * Networks are CNI's affair, so the engine makes no bridge and no rule. With live-restore pods outlive an engine that is
 * killed or replaced. The cgroup driver is said, because the default on systemd machines with cgroup v2 is another one
 * than the kubelet of a local cluster uses.
 */
export function renderDockerConfig({ paths, restricted }: DockerConfigOptions): string {
  const config = {
    hosts: [`unix://${paths.dockerSocket}`],
    "data-root": paths.dockerData,
    "exec-root": paths.dockerExec,
    bridge: "none",
    iptables: false,
    "ip-forward": false,
    "ip-masq": false,
    "live-restore": true,
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "log-level": "warn",
    ...(restricted
      ? {
          "oom-score-adjust": 0,
          "default-runtime": "restricted",
          runtimes: { restricted: { path: paths.runcWrapper } },
        }
      : {}),
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

/** Where the containerd that the engine starts for itself listens; its shims bear the address. */
export function engineContainerdSocket(paths: NodePaths): string {
  return `${paths.dockerExec}/containerd/containerd.sock`;
}
