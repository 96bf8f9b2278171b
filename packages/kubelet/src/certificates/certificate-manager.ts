/**
 * Keeps one certificate of the kubelet valid: asks for it when there is none, and for the next one when 70 to 90 % of its
 * life is over or the node has other names. Whoever uses it asks for `current`, or is told. Owns the files of its store.
 */
import type { Client } from "@knarr/client/client.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { CertificateStore, StoredCertificate } from "./certificate-store.ts";
import { fitsTemplate, rotationTime, type Template } from "./plan-rotation.ts";
import { newKey, requestCertificate } from "./request-certificate.ts";

export const CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet";
export const SERVING_SIGNER = "kubernetes.io/kubelet-serving";
/** With an elliptic key; RSA would add "key encipherment". */
export const CLIENT_USAGES = ["digital signature", "client auth"];
export const SERVING_USAGES = ["digital signature", "server auth"];

export interface CertificateManagerOptions {
  readonly name: "client" | "serving";
  readonly store: CertificateStore;
  readonly signerName: string;
  readonly usages: readonly string[];
  /** undefined: not known yet, ask again later. */
  readonly template: () => Template | undefined;
  readonly client: () => Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 to 1. */
  readonly random: () => number;
  readonly onChange: (current: StoredCertificate) => void;
}

/** Source: client-go's certificateWaitTimeout */
const WAIT_MS = 15 * 60_000;
const LOOK_MS = 5_000;

export class CertificateManager {
  readonly #options: CertificateManagerOptions;
  #current: StoredCertificate | undefined;
  #rotateAt: number | undefined;

  constructor(options: CertificateManagerOptions) {
    this.#options = options;
  }

  /** undefined while there is none that is valid. */
  get current(): StoredCertificate | undefined {
    return this.#current !== undefined && this.#current.notAfter > this.#options.clock.now()
      ? this.#current
      : undefined;
  }

  /** Reads what the store has. */
  async load(): Promise<void> {
    this.#adopt(await this.#options.store.current());
  }

  #adopt(current: StoredCertificate | undefined): void {
    this.#current = current;
    this.#rotateAt = current === undefined ? undefined : rotationTime(current, this.#options.random());
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, name } = this.#options;
    const backoff = new Backoff({ initialMs: 2000, maxMs: 32_000, factor: 2, jitter: 0.1 });
    while (!signal.aborted) {
      let waitMs = LOOK_MS;
      try {
        const template = this.#options.template();
        if (template !== undefined && this.#isDue(template)) await this.#rotate(template, signal);
        backoff.reset();
        waitMs = Math.min(LOOK_MS, Math.max(100, (this.#rotateAt ?? Number.POSITIVE_INFINITY) - clock.now()));
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, certificate: name }, "certificate not renewed");
        waitMs = backoff.next();
      }
      await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }

  #isDue(template: Template): boolean {
    const current = this.#current;
    if (current === undefined || this.#rotateAt === undefined) return true;
    return this.#options.clock.now() >= this.#rotateAt || !fitsTemplate(current.subjectAltName, template);
  }

  async #rotate(template: Template, signal: AbortSignal): Promise<void> {
    const { clock, log, name, onChange, signerName, store, usages } = this.#options;
    log.info({ certificate: name, expires: this.#current?.notAfter }, "asking for a new certificate");
    const keyPem = newKey();
    const pem = await requestCertificate(
      { signerName, usages, template, keyPem, stableName: false },
      { client: this.#options.client(), clock, signal, timeoutMs: WAIT_MS },
    );
    const current = await store.update(pem, keyPem, clock.now());
    this.#adopt(current);
    log.info({ certificate: name, expires: new Date(current.notAfter).toISOString() }, "certificate renewed");
    onChange(current);
  }
}
