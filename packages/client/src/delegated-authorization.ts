/**
 * Lets the API server decide who may read a daemon's own endpoints (/metrics): TokenReview for bearer tokens, the TLS
 * layer for client certificates, then SubjectAccessReview. Source: k8s.io/apiserver delegating authenticator, authorizer
 */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { authentication, authorization } from "@knarr/api/generated/resources.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Client } from "./client.ts";

export interface DelegatedAuthorizationOptions {
  readonly client: Client;
  readonly clock: Clock;
  /** Paths, with everything below them, that anyone may read. */
  readonly alwaysAllow: readonly string[];
}

interface Identity {
  readonly user: string;
  readonly uid?: string | undefined;
  readonly groups: readonly string[];
}

const ANONYMOUS: Identity = { user: "system:anonymous", groups: ["system:unauthenticated"] };
/** Source: upstream's defaults for webhook caches: tokens 10 s, allowed 10 s, refused 10 s. */
const CACHE_MS = 10_000;
const CACHE_SIZE = 1000;
const TIMEOUT_MS = 10_000;

export class DelegatedAuthorization {
  readonly #options: DelegatedAuthorizationOptions;
  readonly #cache = new Map<string, { readonly value: unknown; readonly untilMs: number }>();

  constructor(options: DelegatedAuthorizationOptions) {
    this.#options = options;
  }

  /** Undefined lets the request pass; otherwise the status of the refusal: 401 or 403, 500 when nobody can say. */
  async authorize(request: IncomingMessage, path: string): Promise<number | undefined> {
    if (this.#options.alwaysAllow.some((open) => path === open || path.startsWith(`${open}/`))) return undefined;
    try {
      const identity = await this.#identify(request);
      if (identity === undefined) return 401;
      const verb = (request.method ?? "GET").toLowerCase();
      return (await this.#mayRead(identity, { path, verb })) ? undefined : 403;
    } catch {
      // Without an answer from the API server nobody is let in; the client logs its own failures.
      return 500;
    }
  }

  async #identify(request: IncomingMessage): Promise<Identity | undefined> {
    const token = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token !== undefined) return this.#cached(`token ${token}`, () => this.#reviewToken(token));
    const socket = request.socket as TLSSocket;
    if (socket.authorized === true) {
      const { subject } = socket.getPeerCertificate();
      const groups = subject?.O === undefined ? [] : [subject.O].flat();
      const user = [subject?.CN ?? ""].flat()[0] ?? "";
      if (user !== "") return { user, groups: [...groups, "system:authenticated"] };
    }
    return ANONYMOUS;
  }

  async #reviewToken(token: string): Promise<Identity | undefined> {
    const review = await this.#options.client.create(
      authentication.tokenreviews,
      { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", metadata: {}, spec: { token } },
      { timeoutMs: TIMEOUT_MS },
    );
    if (review.status?.authenticated !== true) return undefined;
    const { username = "", uid, groups } = review.status.user ?? {};
    return { user: username, uid, groups: groups ?? [] };
  }

  #mayRead(identity: Identity, nonResourceAttributes: { path: string; verb: string }): Promise<boolean> {
    const { user, uid, groups } = identity;
    const spec = { user, uid, groups: [...groups], nonResourceAttributes };
    return this.#cached(`access ${JSON.stringify(spec)}`, async () => {
      const review = await this.#options.client.create(
        authorization.subjectaccessreviews,
        { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", metadata: {}, spec },
        { timeoutMs: TIMEOUT_MS },
      );
      return review.status?.allowed === true;
    });
  }

  async #cached<R>(key: string, ask: () => Promise<R>): Promise<R> {
    const nowMs = this.#options.clock.monotonicMs();
    const hit = this.#cache.get(key);
    if (hit !== undefined && hit.untilMs > nowMs) return hit.value as R;
    const value = await ask();
    if (this.#cache.size >= CACHE_SIZE) this.#cache.clear();
    this.#cache.set(key, { value, untilMs: nowMs + CACHE_MS });
    return value;
  }
}
