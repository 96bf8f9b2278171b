/**
 * A client per controller that acts as a ServiceAccount of kube-system, with tokens from the TokenRequest API.
 * Source: kube-controller-manager's --use-service-account-credentials
 */
import { core } from "@knarr/api/generated/resources.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import type { TlsCredentials } from "@knarr/client/rest-config.ts";
import type { Clock } from "@knarr/daemon/clock.ts";

const NAMESPACE = "kube-system";
const LIFETIME_SECONDS = 3600;
/** Tokens are renewed after this share of their life. */
const RENEW_AT = 0.8;

interface Token {
  readonly text: string;
  readonly renewAtMs: number;
}

export class ServiceAccountClients {
  readonly #root: Client;
  readonly #clock: Clock;
  readonly #beforeWrite: () => void;
  readonly #clients = new Map<string, Client>();

  /** `root` may create ServiceAccounts and their tokens. `beforeWrite` may forbid its clients to write, by throwing. */
  constructor(root: Client, options: { readonly clock: Clock; readonly beforeWrite: () => void }) {
    this.#root = root;
    this.#clock = options.clock;
    this.#beforeWrite = options.beforeWrite;
  }

  /** The client of a ServiceAccount; the account is created at the first request, where it is missing. */
  clientFor(serviceAccount: string): Client {
    const existing = this.#clients.get(serviceAccount);
    if (existing !== undefined) return existing;
    const { server, tlsServerName, insecureSkipTlsVerify } = this.#root.config;
    let token: Token | undefined;
    let asking: Promise<Token> | undefined;
    const client = new Client(
      {
        server,
        tlsServerName,
        insecureSkipTlsVerify,
        credentials: this.#caOnly(),
        refreshToken: () => {
          token = undefined;
        },
        token: async () => {
          if (token !== undefined && this.#clock.now() < token.renewAtMs) return token.text;
          asking ??= this.#requestToken(serviceAccount).finally(() => {
            asking = undefined;
          });
          token = await asking;
          return token.text;
        },
      },
      {
        clock: this.#clock,
        userAgent: `kube-controller-manager/v1.36.0 knarr/${serviceAccount}`,
        beforeWrite: this.#beforeWrite,
      },
    );
    this.#clients.set(serviceAccount, client);
    return client;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  /** The root's CA without its client certificate, which would win over the token. */
  #caOnly(): () => Promise<TlsCredentials> {
    let last: TlsCredentials = {};
    return async () => {
      const { config } = this.#root;
      const { ca } = config.credentials === undefined ? config : await config.credentials();
      if (last.ca !== ca) last = { ca };
      return last;
    };
  }

  async #requestToken(name: string): Promise<Token> {
    const nowMs = this.#clock.now();
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: LIFETIME_SECONDS },
    };
    const ask = () =>
      this.#root.createSubresource<{ status?: { token?: string; expirationTimestamp?: string } }>(
        core.serviceaccounts,
        { namespace: NAMESPACE, name },
        "token",
        body,
      );
    let answer: Awaited<ReturnType<typeof ask>>;
    try {
      answer = await ask();
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#createAccount(name);
      answer = await ask();
    }
    const expiresMs = Date.parse(answer.status?.expirationTimestamp ?? "") || nowMs + LIFETIME_SECONDS * 1000;
    return { text: answer.status?.token ?? "", renewAtMs: nowMs + (expiresMs - nowMs) * RENEW_AT };
  }

  async #createAccount(name: string): Promise<void> {
    const create = async (make: () => Promise<unknown>) => {
      try {
        await make();
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    };
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace: NAMESPACE, name } };
    try {
      await create(() => this.#root.create(core.serviceaccounts, account));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // A cluster so new that not even kube-system is there.
      const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } };
      await create(() => this.#root.create(core.namespaces, namespace));
      await create(() => this.#root.create(core.serviceaccounts, account));
    }
  }
}
