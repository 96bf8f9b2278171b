/** pod-network's flags and the one Config made of them. */
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import {
  boolFlag,
  durationFlag,
  type FlagValues,
  intFlag,
  listFlag,
  stringFlag,
  UsageError,
} from "@knarr/daemon/flags.ts";
import { familyOf, parsePrefix } from "@knarr/netfilter/ip.ts";
import type { NetworkOptions } from "./core/plan-network.ts";

export const flags = {
  kubeconfig: stringFlag({ help: "path to the kubeconfig file with the API server's address", placeholder: "path" }),
  hostnameOverride: stringFlag({ help: "this node's name, instead of the host name" }),
  clusterCidr: listFlag({ help: "the pods' range, or an IPv4 and an IPv6 range", placeholder: "cidrs" }),
  network: stringFlag({
    help: "bridge, or none to leave the network to another CNI",
    default: "bridge",
    oneOf: ["bridge", "none"],
  }),
  cniConfDir: stringFlag({ help: "where the CNI configuration goes", default: "/etc/cni/net.d", placeholder: "path" }),
  cniBinDir: listFlag({
    help: "where the runtime finds CNI plugins; the bandwidth plugin is used when it is there",
    default: ["/opt/cni/bin", "/usr/lib/cni"],
    placeholder: "paths",
  }),
  ipamDir: stringFlag({
    help: "where host-local keeps the addresses in use; its own default (/var/lib/cni/networks) when empty",
    placeholder: "path",
  }),
  bridge: stringFlag({ help: "name of the pods' bridge", default: "cni0" }),
  mtu: intFlag({
    help: "MTU of pods' interfaces; 0 finds it from the node's link",
    default: 0,
    min: 0,
    max: 65535,
    unit: "bytes",
  }),
  tunnel: stringFlag({
    help: "VXLAN to other nodes: auto (where they share no link with this one), always, never",
    default: "auto",
    oneOf: ["auto", "always", "never"],
  }),
  masquerade: boolFlag({ help: "masquerade pods' traffic that leaves the cluster", default: true }),
  syncPeriodMs: durationFlag({ help: "how often the kernel's state is compared and repaired", default: "30s" }),
  healthzBindAddress: stringFlag({
    help: "address and port of /healthz and /metrics; empty disables them",
    default: "127.0.0.1:10246",
  }),
  cleanup: boolFlag({
    help: "remove the routes, rules and configuration that pod-network made, and exit",
    default: false,
  }),
} as const;

export interface Config extends NetworkOptions {
  readonly kubeconfig: string;
  readonly nodeName: string;
  readonly network: "bridge" | "none";
  readonly cniConfDir: string;
  readonly syncPeriodMs: number;
  readonly healthz: { readonly host: string; readonly port: number } | undefined;
  readonly cleanup: boolean;
}

/** Throws UsageError naming the flag. */
export function loadConfig(values: FlagValues<typeof flags>): Config {
  for (const prefix of values.clusterCidr) {
    if (!prefix.includes("/") || parsePrefix(prefix) === undefined) {
      throw new UsageError(
        `invalid value ${JSON.stringify(prefix)} for --cluster-cidr: must be a CIDR such as 10.244.0.0/16`,
      );
    }
  }
  if (new Set(values.clusterCidr.map(familyOf)).size < values.clusterCidr.length) {
    throw new UsageError("--cluster-cidr must have at most one range per address family");
  }
  if (!/^[A-Za-z0-9_.-]{1,15}$/.test(values.bridge)) {
    throw new UsageError("--bridge must be an interface name of at most 15 characters");
  }
  return Object.freeze({
    kubeconfig: values.kubeconfig,
    nodeName: (values.hostnameOverride.trim() || hostname()).toLowerCase(),
    clusterPrefixes: values.clusterCidr,
    network: values.network as Config["network"],
    cniConfDir: values.cniConfDir,
    ipamDir: values.ipamDir,
    bandwidth: values.cniBinDir.some((directory) => existsSync(join(directory, "bandwidth"))),
    bridge: values.bridge,
    mtu: values.mtu,
    tunnel: values.tunnel as Config["tunnel"],
    masquerade: values.masquerade,
    syncPeriodMs: values.syncPeriodMs,
    healthz: parseHostPort(values.healthzBindAddress),
    cleanup: values.cleanup,
  });
}

function parseHostPort(text: string): Config["healthz"] {
  if (text === "") return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65535) {
    throw new UsageError(`invalid value ${JSON.stringify(text)} for --healthz-bind-address: must be address:port`);
  }
  return { host: match[1] ?? match[2] ?? "", port: Number(match[3]) };
}
