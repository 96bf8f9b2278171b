/**
 * TLS bootstrap: a node that has only a bootstrap token gets its own client certificate and writes the kubeconfig with it.
 * Source: kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping
 */
import { X509Certificate } from "node:crypto";
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { RestConfig } from "@knarr/client/rest-config.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { stringify } from "yaml";
import { CLIENT_SIGNER } from "./certificate-manager.ts";
import type { CertificateStore } from "./certificate-store.ts";
import { newKey, requestCertificate } from "./request-certificate.ts";

export interface BootstrapOptions {
  readonly kubeconfig: string;
  readonly bootstrapKubeconfig: string;
  readonly certDir: string;
  readonly store: CertificateStore;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const WAIT_MS = 3600_000;
/** Upstream's list for a first request, whatever the key. */
const USAGES = ["digital signature", "key encipherment", "client auth"];

/** Makes sure that `kubeconfig` can be used; does nothing when it can. Tries until it succeeds or the signal aborts. */
export async function bootstrap(options: BootstrapOptions): Promise<void> {
  const { clock, log, signal } = options;
  const backoff = new Backoff({ initialMs: 1000, maxMs: 30_000, factor: 2, jitter: 0.2 });
  while (!(await isUsable(options))) {
    try {
      await request(options);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error }, "TLS bootstrap failed, trying again");
      await clock.sleep(backoff.next(), signal);
    }
  }
}

/** Whether the kubeconfig is there and its client certificate, if it has one, is valid. */
async function isUsable({ kubeconfig, clock, log }: BootstrapOptions): Promise<boolean> {
  const there = await access(kubeconfig).then(
    () => true,
    () => false,
  );
  if (!there) return false;
  try {
    const config = loadKubeconfig({ path: kubeconfig });
    const { cert } = (await config.credentials?.()) ?? config;
    if (cert === undefined) return false;
    const { validToDate } = new X509Certificate(cert);
    if (validToDate.getTime() > clock.now()) return true;
    log.warn({ kubeconfig, expired: validToDate.toISOString() }, "the client certificate has expired");
    return false;
  } catch (error) {
    log.warn({ err: error, kubeconfig }, "the kubeconfig can't be used");
    return false;
  }
}

async function request(options: BootstrapOptions): Promise<void> {
  const { bootstrapKubeconfig, certDir, clock, kubeconfig, log, nodeName, signal, store } = options;
  await mkdir(certDir, { recursive: true, mode: 0o700 });
  // Kept until the certificate is there: the same key's request is found again after a restart.
  const keyPath = join(certDir, "kubelet-client.key.tmp");
  const keyPem = await readFile(keyPath, "utf8").catch(() => "");
  const key = keyPem === "" ? newKey() : keyPem;
  if (keyPem === "") await writeFile(keyPath, key, { mode: 0o600 });
  const config = loadKubeconfig({ path: bootstrapKubeconfig });
  const client = new Client(config, { userAgent: "kubelet/v1.36.0 (knarr)" });
  try {
    log.info({ bootstrapKubeconfig }, "asking for a first client certificate");
    const template = {
      commonName: `system:node:${nodeName}`,
      organization: "system:nodes",
      dnsNames: [],
      ipAddresses: [],
    };
    const pem = await requestCertificate(
      { signerName: CLIENT_SIGNER, usages: USAGES, template, keyPem: key, stableName: true },
      { client, clock, signal, timeoutMs: WAIT_MS },
    );
    await store.update(pem, key, clock.now());
    await writeKubeconfig(kubeconfig, config, store.currentPath);
    await rm(keyPath, { force: true });
  } finally {
    client.close();
  }
}

async function writeKubeconfig(path: string, config: RestConfig, pemPath: string): Promise<void> {
  const { ca } = (await config.credentials?.()) ?? config;
  const cluster = {
    server: config.server,
    ...(ca === undefined ? {} : { "certificate-authority-data": Buffer.from(ca).toString("base64") }),
    ...(config.insecureSkipTlsVerify === true ? { "insecure-skip-tls-verify": true } : {}),
    ...(config.tlsServerName === undefined ? {} : { "tls-server-name": config.tlsServerName }),
  };
  const text = stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "default-cluster", cluster }],
    users: [{ name: "default-auth", user: { "client-certificate": pemPath, "client-key": pemPath } }],
    contexts: [
      { name: "default-context", context: { cluster: "default-cluster", user: "default-auth", namespace: "default" } },
    ],
    "current-context": "default-context",
  });
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp`, text, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}
