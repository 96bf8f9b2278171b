/**
 * Credentials from an external command. Source: KEP-541 client-go exec credential plugins (client.authentication.k8s.io)
 */
import { spawn } from "node:child_process";
import type { Clock } from "@knarr/daemon/clock.ts";
import { type ExecConfig, KubeconfigError } from "./kubeconfig-file.ts";

export interface ExecCredentialStatus {
  readonly token?: string;
  readonly clientCertificateData?: string;
  readonly clientKeyData?: string;
  readonly expirationTimestamp?: string;
}
export interface ExecClusterInfo {
  readonly server: string;
  readonly "certificate-authority-data"?: string | undefined;
  readonly "tls-server-name"?: string | undefined;
  readonly "insecure-skip-tls-verify"?: boolean | undefined;
}

const VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const PLUGIN_TIMEOUT_MS = 60_000;

/** Runs the plugin when there is no credential yet, when it expired, or after `invalidate`; concurrent callers share a run. */
export class ExecCredentialSource {
  readonly #config: ExecConfig;
  readonly #cluster: ExecClusterInfo;
  readonly #env: NodeJS.ProcessEnv;
  readonly #clock: Clock;
  #running: Promise<ExecCredentialStatus> | undefined;
  #current: { status: ExecCredentialStatus; expiresAtMs: number } | undefined;

  constructor(options: { config: ExecConfig; cluster: ExecClusterInfo; env: NodeJS.ProcessEnv; clock: Clock }) {
    this.#config = options.config;
    this.#cluster = options.cluster;
    this.#env = options.env;
    this.#clock = options.clock;
    if (!VERSIONS.includes(this.#config.apiVersion)) {
      throw new KubeconfigError(
        `exec plugin: apiVersion ${this.#config.apiVersion} must be one of ${VERSIONS.join(", ")}`,
      );
    }
  }

  /** The same object until the credential changed. Throws KubeconfigError when the plugin fails. */
  async get(): Promise<ExecCredentialStatus> {
    if (this.#current !== undefined && this.#clock.now() < this.#current.expiresAtMs) return this.#current.status;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  invalidate(): void {
    this.#current = undefined;
  }

  async #run(): Promise<ExecCredentialStatus> {
    const info = {
      apiVersion: this.#config.apiVersion,
      kind: "ExecCredential",
      spec: {
        interactive: false,
        ...(this.#config.provideClusterInfo === true ? { cluster: this.#cluster } : {}),
      },
    };
    const env = { ...this.#env, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
    for (const { name, value } of this.#config.env ?? []) Object.assign(env, { [name]: value });
    const output = await this.#spawn(env);
    let status: ExecCredentialStatus | undefined;
    try {
      status = (JSON.parse(output) as { status?: ExecCredentialStatus }).status;
    } catch (cause) {
      throw new KubeconfigError(`exec plugin ${this.#config.command} did not print JSON`, { cause });
    }
    if (status === undefined || (status.token === undefined && status.clientCertificateData === undefined)) {
      throw new KubeconfigError(`exec plugin ${this.#config.command} gave neither a token nor a client certificate`);
    }
    const expires =
      status.expirationTimestamp === undefined ? Number.POSITIVE_INFINITY : Date.parse(status.expirationTimestamp);
    this.#current = { status, expiresAtMs: expires };
    return status;
  }

  #spawn(env: NodeJS.ProcessEnv): Promise<string> {
    const { command, args, installHint } = this.#config;
    return new Promise((resolve, reject) => {
      const child = spawn(command, args ?? [], {
        env,
        stdio: ["ignore", "pipe", "inherit"],
        timeout: PLUGIN_TIMEOUT_MS,
      });
      const chunks: Buffer[] = [];
      child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
      child.once("error", (cause) => {
        const hint = installHint === undefined ? "" : `\n${installHint}`;
        reject(new KubeconfigError(`exec plugin ${command} can't be run: ${cause.message}${hint}`, { cause }));
      });
      child.once("close", (code, signal) => {
        if (code === 0) resolve(Buffer.concat(chunks).toString("utf8"));
        else reject(new KubeconfigError(`exec plugin ${command} failed with ${signal ?? `exit code ${code}`}`));
      });
    });
  }
}
