/**
 * Names of the chains, as upstream's kube-proxy makes them: a prefix and the first 16 characters of
 * base32(sha256(...)), which keeps them under the kernel's limit of 28.
 * Source: kubernetes pkg/proxy/iptables chain naming; default/kubernetes:https over tcp is KUBE-SVC-NPX46M4PTMTKRN6Y
 */
import { joinHostPort } from "@knarr/netfilter/ip.ts";
import type { Table } from "@knarr/netfilter/rule.ts";
import type { Endpoint, ServicePort } from "./service-port.ts";

/** SHA-256 of a text as bytes; an argument, because core has no node:crypto. */
export type Sha256 = (text: string) => Uint8Array;

export const chains = {
  services: "KUBE-SERVICES",
  externalServices: "KUBE-EXTERNAL-SERVICES",
  nodePorts: "KUBE-NODEPORTS",
  postrouting: "KUBE-POSTROUTING",
  markMasquerade: "KUBE-MARK-MASQ",
  forward: "KUBE-FORWARD",
  proxyFirewall: "KUBE-PROXY-FIREWALL",
  localnetFirewall: "KUBE-FIREWALL",
  canary: "KUBE-PROXY-CANARY",
  // Of IPVS mode.
  nodePort: "KUBE-NODE-PORT",
  loadBalancer: "KUBE-LOAD-BALANCER",
  sourceRangesFirewall: "KUBE-SOURCE-RANGES-FIREWALL",
  ipvsFilter: "KUBE-IPVS-FILTER",
  ipvsOutFilter: "KUBE-IPVS-OUT-FILTER",
  dropExternal: "KUBE-DROP-EXTERNAL",
} as const;

/** The kubelet guards loopback through a chain of the same name, so that one is never taken for stale. */
const fixedNames: ReadonlySet<string> = new Set(
  Object.values(chains).filter((name) => name !== chains.localnetFirewall),
);
const perService = /^KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}$/;

/** Whether a chain found in the kernel was made by a kube-proxy, ours or upstream's, and by nobody else. */
export function isProxyChain(_table: Table, chain: string): boolean {
  return fixedNames.has(chain) || perService.test(chain);
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function base32Start(bytes: Uint8Array, length: number): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xffff;
    held += 8;
    while (held >= 5) {
      text += ALPHABET.charAt((bits >> (held - 5)) & 31);
      held -= 5;
      if (text.length === length) return text;
    }
  }
  return text;
}

/** 16 characters for a text of any length. */
export function hashName(text: string, sha256: Sha256): string {
  return base32Start(sha256(text), 16);
}

export interface ServiceChains {
  /** Endpoints under policy Cluster. */
  readonly cluster: string;
  /** Endpoints under policy Local. */
  readonly local: string;
  readonly external: string;
  readonly firewall: string;
  readonly endpoint: (endpoint: Endpoint) => string;
}

export function chainsOf(port: ServicePort, sha256: Sha256): ServiceChains {
  const hash = hashName(port.name + port.protocol, sha256);
  return {
    cluster: `KUBE-SVC-${hash}`,
    local: `KUBE-SVL-${hash}`,
    external: `KUBE-EXT-${hash}`,
    firewall: `KUBE-FW-${hash}`,
    endpoint: (endpoint) => {
      const target = joinHostPort(endpoint.address, endpoint.port);
      return `KUBE-SEP-${hashName(port.name + port.protocol + target, sha256)}`;
    },
  };
}
