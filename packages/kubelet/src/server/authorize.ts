/**
 * Who asks, and whether they may: client certificates of the cluster's authority and bearer tokens; then a
 * SubjectAccessReview per kind of request. Answers are remembered for a while. Knows no paths but those that have a
 * subresource of their own.
 * Source: kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz, KEP-2862
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { authentication, authorization } from "@knarr/api/generated/resources.ts";
import type { TokenReview } from "@knarr/api/generated/types/authentication-v1.ts";
import type { SubjectAccessReview } from "@knarr/api/generated/types/authorization-v1.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { HttpError } from "./http-error.ts";

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

export interface AuthorizerOptions {
  readonly client: Client | undefined;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly anonymous: boolean;
  readonly mode: string;
  readonly log: Logger;
}

const TOKEN_CACHE_MS = 120_000;
const ALLOWED_CACHE_MS = 300_000;
const DENIED_CACHE_MS = 30_000;
const MAX_CACHED = 10_000;
const VERBS: Readonly<Record<string, string>> = {
  GET: "get",
  HEAD: "get",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

interface Cached<T> {
  readonly value: T;
  readonly until: number;
}

/** The subresources of nodes that a path stands for, the narrowest first. */
export function subresourcesOf(path: string): string[] {
  const is = (prefix: string) => path === prefix || path.startsWith(`${prefix}/`);
  if (is("/stats")) return ["stats"];
  if (is("/metrics")) return ["metrics"];
  if (is("/logs")) return ["log"];
  if (is("/checkpoint")) return ["checkpoint"];
  if (is("/healthz")) return ["healthz", "proxy"];
  if (is("/pods") || is("/runningpods")) return ["pods", "proxy"];
  if (is("/configz")) return ["configz", "proxy"];
  return ["proxy"];
}

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens = new Map<string, Cached<User | undefined>>();
  readonly #decisions = new Map<string, Cached<boolean>>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** Throws HttpError 401 or 403; 500 when nobody could be asked. */
  async check(request: IncomingMessage, path: string): Promise<User> {
    const user = await this.#authenticate(request).catch((error: unknown) => {
      // A token that nobody can judge is none.
      this.#options.log.error({ err: error }, "request could not be authenticated");
      return undefined;
    });
    if (user === undefined) throw new HttpError(401, "Unauthorized");
    const verb = VERBS[request.method ?? "GET"] ?? "get";
    const subresources = subresourcesOf(path);
    for (const subresource of subresources) {
      const allowed = await this.#allowed(user, verb, subresource).catch((error: unknown) => {
        this.#options.log.error({ err: error, user: user.name, verb, subresource }, "request could not be authorised");
        const what = `user=${user.name}, verb=${verb}, resource=nodes, subresource=${subresource}`;
        throw new HttpError(500, `Authorization error (${what})`);
      });
      if (allowed) return user;
    }
    const resource = `nodes, subresource(s)=[${subresources.join(" ")}]`;
    throw new HttpError(403, `Forbidden (user=${user.name}, verb=${verb}, resource=${resource})\n`);
  }

  async #authenticate(request: IncomingMessage): Promise<User | undefined> {
    const socket = request.socket as TLSSocket;
    if (socket.authorized === true) {
      const subject = socket.getPeerCertificate()?.subject as { CN?: string; O?: string | string[] } | undefined;
      if (subject?.CN !== undefined) {
        return { name: subject.CN, groups: [...[subject.O ?? []].flat(), "system:authenticated"] };
      }
    }
    const bearer = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (bearer !== undefined) return await this.#review(bearer);
    return this.#options.anonymous ? { name: "system:anonymous", groups: ["system:unauthenticated"] } : undefined;
  }

  async #review(token: string): Promise<User | undefined> {
    const { client } = this.#options;
    if (client === undefined) return undefined;
    const key = createHash("sha256").update(token).digest("base64");
    const cached = this.#lookUp(this.#tokens, key);
    if (cached !== undefined) return cached.value;
    const review: TokenReview = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      metadata: {},
      spec: { token },
    };
    const { status } = await client.create(authentication.tokenreviews, review);
    const user =
      status?.authenticated === true
        ? { name: status.user?.username ?? "", groups: status.user?.groups ?? [] }
        : undefined;
    this.#remember(this.#tokens, key, user, TOKEN_CACHE_MS);
    return user;
  }

  async #allowed(user: User, verb: string, subresource: string): Promise<boolean> {
    const { client, mode, nodeName } = this.#options;
    if (mode === "AlwaysAllow" || user.groups.includes("system:masters")) return true;
    if (client === undefined) return false;
    const key = JSON.stringify([user.name, user.groups, verb, subresource]);
    const cached = this.#lookUp(this.#decisions, key);
    if (cached !== undefined) return cached.value;
    const review: SubjectAccessReview = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: {
        user: user.name,
        groups: [...user.groups],
        resourceAttributes: { verb, resource: "nodes", subresource, name: nodeName, version: "v1" },
      },
    };
    const { status } = await client.create(authorization.subjectaccessreviews, review);
    const allowed = status?.allowed === true;
    this.#remember(this.#decisions, key, allowed, allowed ? ALLOWED_CACHE_MS : DENIED_CACHE_MS);
    return allowed;
  }

  #lookUp<T>(cache: Map<string, Cached<T>>, key: string): Cached<T> | undefined {
    const entry = cache.get(key);
    return entry === undefined || entry.until < this.#options.clock.monotonicMs() ? undefined : entry;
  }

  #remember<T>(cache: Map<string, Cached<T>>, key: string, value: T, forMs: number): void {
    // Bounded: whoever sends many tokens must not fill our memory.
    if (cache.size >= MAX_CACHED) cache.clear();
    cache.set(key, { value, until: this.#options.clock.monotonicMs() + forMs });
  }
}
