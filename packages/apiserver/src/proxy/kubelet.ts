/**
 * The way to a node's kubelet: its address from the Node object, our client certificate, its CA.
 * Source: k8s.io/kubernetes/pkg/kubelet/client.
 */
import { readFile } from "node:fs/promises";
import { Agent } from "node:https";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ForwardTarget } from "./forward.ts";

export interface KubeletClientOptions {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Order of preference: "InternalIP", "ExternalIP", "Hostname" ... */
  readonly addressTypes: readonly string[];
}

const DEFAULT_PORT = 10250;
const IDLE_SOCKET_MS = 60_000;

export class KubeletClient {
  readonly #options: KubeletClientOptions;
  readonly #tls: NonNullable<ForwardTarget["tls"]>;
  readonly #agent: Agent;

  private constructor(options: KubeletClientOptions, tls: NonNullable<ForwardTarget["tls"]>) {
    this.#options = options;
    this.#tls = tls;
    this.#agent = new Agent({ keepAlive: true, timeout: IDLE_SOCKET_MS });
  }

  static async create(options: KubeletClientOptions): Promise<KubeletClient> {
    const read = (path: string) => (path === "" ? undefined : readFile(path));
    const [ca, cert, key] = await Promise.all([read(options.caFile), read(options.certFile), read(options.keyFile)]);
    // As upstream: without --kubelet-certificate-authority the kubelet's certificate is not checked.
    return new KubeletClient(options, {
      skipVerify: ca === undefined,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
  }

  /** Where to send a request for `path` (with query) on this node's kubelet. Throws when the node has no address. */
  target(node: Node, path: string, options: { readonly skipVerify?: boolean } = {}): ForwardTarget {
    return {
      protocol: "https:",
      host: this.#addressOf(node),
      port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port || DEFAULT_PORT,
      path,
      agent: this.#agent,
      tls: options.skipVerify === true ? { ...this.#tls, skipVerify: true } : this.#tls,
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  #addressOf(node: Node): string {
    for (const type of this.#options.addressTypes) {
      const found = node.status?.addresses?.find((address) => address.type === type && address.address !== "");
      if (found !== undefined) return found.address;
    }
    throw statusErrors.unspecified("no preferred addresses found; known addresses: []");
  }
}
