/** Authentication, authorisation and the ServiceAccount token issuer, put together from the configuration. */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { buildAuthentication, type ClientCas } from "./authn/build.ts";
import type { TokenIssuer } from "./authn/issue-token.ts";
import { jsonWebKeySet, openidConfiguration } from "./authn/openid.ts";
import type { Authenticator, TokenAuthenticator } from "./authn/types.ts";
import { readAuthorizationSettings } from "./authz/authorization-configuration.ts";
import { bootstrapPolicy } from "./authz/bootstrap-policy/policy.ts";
import { applyPolicy } from "./authz/bootstrap-policy/reconcile.ts";
import { storagePolicyWriter } from "./authz/bootstrap-policy/storage-writer.ts";
import { buildAuthorizer } from "./authz/build.ts";
import type { RbacAuthorizer } from "./authz/rbac.ts";
import type { Authorizer, RuleResolver } from "./authz/types.ts";
import type { LoopbackAuthenticator } from "./bootstrap/loopback.ts";
import type { Config } from "./config.ts";
import type { ResourceIndex } from "./registry/resource.ts";
import type { Storage } from "./storage/storage.ts";

export interface Security {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer & RuleResolver;
  /** For the escalation checks; undefined without RBAC. */
  readonly rbac: RbacAuthorizer | undefined;
  /** For TokenReview. */
  readonly tokens: TokenAuthenticator;
  readonly audiences: readonly string[];
  /** Undefined without a signing key. */
  readonly issuer: TokenIssuer | undefined;
  readonly cas: ClientCas;
  /** Reads the AuthenticationConfiguration again; whether it changed. */
  readonly reloadAuthentication: () => Promise<boolean>;
  /** The same of the AuthorizationConfiguration. */
  readonly reloadAuthorization: () => Promise<boolean>;
  /** The issuer's public documents, by path. */
  readonly issuerDocuments: Readonly<Record<string, () => { body: string; contentType: string }>>;
}

export interface SecurityTools {
  readonly storage: Storage;
  readonly loopback: LoopbackAuthenticator;
  readonly clock: Clock;
}

/** Call once the resources have their storage: authorisation reads views of them. Throws an Error naming a bad file. */
export async function createSecurity(config: Config, tools: SecurityTools): Promise<Security> {
  const { storage, loopback, clock } = tools;
  const built = await buildAuthentication(config, { storage, clock });
  const read = () => readAuthorizationSettings(config);
  const { authorizer, rbac } = buildAuthorizer(await read(), { storage, clock, read });
  const [issuer = ""] = config.serviceAccountIssuer;
  const jwksPath = "/openid/v1/jwks";
  return {
    authenticator: {
      authenticate: (credentials, signal) =>
        loopback.authenticate(credentials) ?? built.authenticator.authenticate(credentials, signal),
    },
    authorizer,
    rbac,
    tokens: built.tokens,
    audiences: built.audiences,
    issuer: built.issuer,
    cas: built.cas,
    reloadAuthentication: built.reload,
    reloadAuthorization: () => authorizer.reload(),
    issuerDocuments: {
      "/.well-known/openid-configuration": () => ({
        body: JSON.stringify(
          openidConfiguration(issuer, built.keys, config.serviceAccountJwksUri || `${issuer}${jwksPath}`),
        ),
        contentType: "application/json",
      }),
      [jwksPath]: () => ({ body: JSON.stringify(jsonWebKeySet(built.keys)), contentType: "application/jwk-set+json" }),
    },
  };
}

const RELOAD_INTERVAL_MS = 60_000;

export interface FollowedFile {
  /** "" for none. */
  readonly path: string;
  /** "authentication", "authorization": for the log. */
  readonly what: string;
  /** Reads the file again; whether it changed. */
  readonly reload: () => Promise<boolean>;
}

/** Takes up changes of a configuration file, looking every minute, until the signal aborts. */
export async function followConfigFile(
  { path, what, reload }: FollowedFile,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(RELOAD_INTERVAL_MS, signal);
    if (path === "") continue;
    try {
      if (await reload()) log.info({ path, what }, "configuration reloaded");
    } catch (error) {
      // Half-written or wrong: what was read before stays in force.
      log.warn({ err: error, path, what }, "configuration not usable, keeping the old");
    }
  }
}

const RETRY_MS = 500;

/** Brings the cluster to upstream's bootstrap roles and bindings; tries until it succeeds, then calls `done` and waits. */
export async function keepBootstrapPolicy(
  parts: { readonly resources: ResourceIndex; readonly clock: Clock; readonly log: Logger },
  done: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { resources, clock, log } = parts;
  const writer = storagePolicyWriter((ref) => resources.storageOf(ref), clock);
  for (;;) {
    try {
      const written = await applyPolicy(bootstrapPolicy(), writer);
      log.info({ written: written.length }, "bootstrap policy reconciled");
      done();
      break;
    } catch (error) {
      if (signal.aborted) return;
      // Another server may be writing the same objects, or the store is away: the next try reads again.
      log.warn({ err: error }, "bootstrap policy not reconciled");
      await clock.sleep(RETRY_MS, signal);
    }
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
