/** The certificates that the kubelet keeps for itself, as the configuration asks: the client's and the server's. */
import { join } from "node:path";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { RestConfig, TlsCredentials } from "@knarr/client/rest-config.ts";
import type { DaemonContext } from "@knarr/daemon/run-daemon.ts";
import type { Task } from "@knarr/daemon/run-group.ts";
import type { Config } from "../config.ts";
import { bootstrap } from "./bootstrap.ts";
import {
  CertificateManager,
  CLIENT_SIGNER,
  CLIENT_USAGES,
  SERVING_SIGNER,
  SERVING_USAGES,
} from "./certificate-manager.ts";
import { CertificateStore, type StoredCertificate } from "./certificate-store.ts";
import type { Template } from "./plan-rotation.ts";

const USER_AGENT = "kubelet/v1.36.0 (knarr)";

export function certDirOf(config: Pick<Config, "certDir" | "rootDir">): string {
  return config.certDir === "" ? join(config.rootDir, "pki") : config.certDir;
}

function clientStore(config: Config): CertificateStore {
  return new CertificateStore(certDirOf(config), "kubelet-client");
}

/** Gets the kubeconfig where there is only a bootstrap kubeconfig. */
export async function ensureKubeconfig(config: Config, { clock, log, signal }: DaemonContext): Promise<void> {
  if (config.bootstrapKubeconfig === "") return;
  const { kubeconfig, bootstrapKubeconfig, nodeName } = config;
  const options = { kubeconfig, bootstrapKubeconfig, certDir: certDirOf(config), nodeName, clock, log, signal };
  await bootstrap({ ...options, store: clientStore(config) });
}

export interface NodeCertificates {
  readonly client: Client;
  /** undefined: the server's certificate is not the cluster's to give. */
  readonly serving: ServingCertificate | undefined;
  readonly tasks: Record<string, Task>;
}

/** The certificate to serve with, where it comes from the cluster. */
export interface ServingCertificate {
  readonly current: () => StoredCertificate | undefined;
  subscribe(onChange: (current: StoredCertificate) => void): void;
}

/** `addresses`: the node's own, once they are known. */
export async function nodeCertificates(
  config: Config,
  { clock, log }: DaemonContext,
  addresses: () => readonly string[],
): Promise<NodeCertificates> {
  const base = loadKubeconfig({ path: config.kubeconfig });
  const subject = { commonName: `system:node:${config.nodeName}`, organization: "system:nodes" };
  const common = { client: () => client, clock, log, random: Math.random };
  const tasks: Record<string, Task> = {};
  let rest: RestConfig = base;
  if (config.rotateCertificates) {
    let joining: Client | undefined;
    const manager: CertificateManager = new CertificateManager({
      ...common,
      // Differs from upstream: it exits when its certificate has expired, to bootstrap after its restart.
      client: () => {
        if (manager.current !== undefined || config.bootstrapKubeconfig === "") return client;
        joining ??= new Client(loadKubeconfig({ path: config.bootstrapKubeconfig }), { userAgent: USER_AGENT });
        return joining;
      },
      name: "client",
      store: clientStore(config),
      signerName: CLIENT_SIGNER,
      usages: CLIENT_USAGES,
      template: () => ({ ...subject, dnsNames: [], ipAddresses: [] }),
      // Source: upstream closes every connection, so that none outlives the certificate that it was opened with.
      onChange: () => client.close(),
    });
    await manager.load();
    rest = { ...base, credentials: rotatingCredentials(base, manager) };
    tasks.clientCertificate = (s) => manager.run(s);
  }
  const client = new Client(rest, { userAgent: USER_AGENT });
  if (!config.rotateServerCertificates || config.tlsCertFile !== "") return { client, serving: undefined, tasks };
  const listeners: ((current: StoredCertificate) => void)[] = [];
  const manager = new CertificateManager({
    ...common,
    name: "serving",
    store: new CertificateStore(certDirOf(config), "kubelet-server"),
    signerName: SERVING_SIGNER,
    usages: SERVING_USAGES,
    template: (): Template | undefined => {
      const ipAddresses = addresses();
      return ipAddresses.length === 0 ? undefined : { ...subject, dnsNames: [config.nodeName], ipAddresses };
    },
    onChange: (current) => {
      for (const listener of listeners) listener(current);
    },
  });
  await manager.load();
  tasks.servingCertificate = (s) => manager.run(s);
  const serving = {
    current: () => manager.current,
    subscribe: (listener: (current: StoredCertificate) => void) => void listeners.push(listener),
  };
  return { client, serving, tasks };
}

/** The kubeconfig's until the first rotation, the newest from then on. The same object until something changes. */
function rotatingCredentials(base: RestConfig, manager: CertificateManager): () => Promise<TlsCredentials> {
  let last: { stored: StoredCertificate; ca: TlsCredentials["ca"]; credentials: TlsCredentials } | undefined;
  return async () => {
    const own = (await base.credentials?.()) ?? base;
    const stored = manager.current;
    if (stored === undefined) return own;
    if (last?.stored !== stored || last.ca !== own.ca) {
      last = { stored, ca: own.ca, credentials: { ca: own.ca, cert: stored.pem, key: stored.pem } };
    }
    return last.credentials;
  };
}
