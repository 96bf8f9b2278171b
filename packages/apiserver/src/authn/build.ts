/** Wires the ways of authentication that the flags ask for. Call after serviceaccounts, pods, nodes and secrets are registered. */
import { readFile } from "node:fs/promises";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Storage } from "../storage/storage.ts";
import { connectWebhook } from "../webhook-client.ts";
import { BearerTokenAuthenticator, tokenUnion } from "./bearer-token.ts";
import { BootstrapTokenAuthenticator } from "./bootstrap-token.ts";
import { CaBundle } from "./ca-bundle.ts";
import { ClientCertificateAuthenticator } from "./client-certificate.ts";
import { FrontProxyAuthenticator } from "./front-proxy.ts";
import { TokenIssuer } from "./issue-token.ts";
import { JwtIssuers } from "./jwt-issuers.ts";
import { type JwtFlags, readAuthenticationSettings } from "./jwt-settings.ts";
import { RequestAuthenticator } from "./request-authenticator.ts";
import { loadSigningKey, loadVerificationKeys, type VerificationKey } from "./service-account-keys.ts";
import { ServiceAccountTokenAuthenticator } from "./service-account-token.ts";
import { parseTokenFile } from "./static-token.ts";
import { storageTokenObjects } from "./token-objects.ts";
import type { Authenticator, TokenAuthenticator } from "./types.ts";
import { WebhookTokenAuthenticator } from "./webhook-token.ts";

/** The flags that matter here, by the names of the server's Config; "" and [] stand for absent. */
export interface AuthenticationConfig extends JwtFlags {
  readonly clientCaFile: string;
  /** The first signs; tokens of all of them are accepted. */
  readonly serviceAccountIssuer: readonly string[];
  readonly serviceAccountKeyFile: readonly string[];
  readonly serviceAccountSigningKeyFile: string;
  /** 0: no limit. */
  readonly serviceAccountMaxTokenExpirationMs: number;
  readonly serviceAccountExtendTokenExpiration: boolean;
  readonly apiAudiences: readonly string[];
  readonly anonymousAuth: boolean;
  readonly tokenAuthFile: string;
  readonly enableBootstrapTokenAuth: boolean;
  readonly authenticationTokenWebhookConfigFile: string;
  readonly authenticationTokenWebhookVersion: string;
  readonly authenticationTokenWebhookCacheTtlMs: number;
  readonly requestheaderClientCaFile: string;
  readonly requestheaderAllowedNames: readonly string[];
  readonly requestheaderUsernameHeaders: readonly string[];
  readonly requestheaderUidHeaders: readonly string[];
  readonly requestheaderGroupHeaders: readonly string[];
  readonly requestheaderExtraHeadersPrefix: readonly string[];
}

export interface BuiltAuthentication {
  readonly authenticator: Authenticator;
  /** For TokenReview. */
  readonly tokens: TokenAuthenticator;
  /** Undefined without --service-account-signing-key-file: the token subresource is then not served. */
  readonly issuer: TokenIssuer | undefined;
  /** For the OpenID documents. */
  readonly keys: readonly VerificationKey[];
  /** What a token must be meant for to be good here. */
  readonly audiences: readonly string[];
  readonly cas: ClientCas;
  /** Reads the AuthenticationConfiguration again; whether it changed. Rejects for a wrong one, keeping the old. */
  readonly reload: () => Promise<boolean>;
}

/** Whose certificates prove what; whoever watches the files loads them again. */
export interface ClientCas {
  readonly clients: CaBundle;
  readonly frontProxies: CaBundle;
}

interface Tools {
  readonly storage: Storage;
  readonly clock: Clock;
}

/** Reads the key, token and configuration files; throws an Error naming the file. */
export async function buildAuthentication(config: AuthenticationConfig, tools: Tools): Promise<BuiltAuthentication> {
  const [firstIssuer = ""] = config.serviceAccountIssuer;
  const audiences = config.apiAudiences.length === 0 ? [firstIssuer] : config.apiAudiences;
  const signingFile = config.serviceAccountSigningKeyFile;
  // Without public keys of its own, the server trusts what it signs.
  const keyFiles =
    config.serviceAccountKeyFile.length === 0 && signingFile !== "" ? [signingFile] : config.serviceAccountKeyFile;
  const keys = await loadVerificationKeys(keyFiles);
  const issuers = new JwtIssuers({
    serviceAccountIssuers: config.serviceAccountIssuer,
    anonymous: config.anonymousAuth,
    clock: tools.clock,
  });
  issuers.load(await readAuthenticationSettings(config));
  const tokens = tokenUnion(await tokenAuthenticators(config, { ...tools, keys, audiences, issuers }));
  const cas = await readClientCas(config);
  const ways: Authenticator[] = [];
  if (config.requestheaderClientCaFile !== "") ways.push(frontProxy(config, cas.frontProxies));
  if (config.clientCaFile !== "") ways.push(new ClientCertificateAuthenticator(tools.clock, cas.clients));
  ways.push(new BearerTokenAuthenticator(tokens));
  return {
    authenticator: new RequestAuthenticator(ways, { anonymous: () => issuers.anonymous }),
    tokens,
    issuer:
      signingFile === ""
        ? undefined
        : new TokenIssuer({
            issuer: firstIssuer,
            key: await loadSigningKey(signingFile),
            audiences,
            objects: storageTokenObjects(tools.storage),
            clock: tools.clock,
            maxExpirationSeconds: Math.floor(config.serviceAccountMaxTokenExpirationMs / 1000),
            extendExpiration: config.serviceAccountExtendTokenExpiration,
          }),
    keys,
    audiences,
    cas,
    reload: async () => issuers.load(await readAuthenticationSettings(config)),
  };
}

/** Every kind of token, in the order in which they are tried. */
async function tokenAuthenticators(
  config: AuthenticationConfig,
  parts: Tools & {
    readonly keys: readonly VerificationKey[];
    readonly audiences: readonly string[];
    readonly issuers: JwtIssuers;
  },
): Promise<TokenAuthenticator[]> {
  const { storage, clock, keys, audiences, issuers: foreign } = parts;
  const objects = storageTokenObjects(storage);
  const members: TokenAuthenticator[] = [];
  if (config.tokenAuthFile !== "") members.push(await tokenFile(config.tokenAuthFile));
  if (keys.length > 0) {
    const issuers = config.serviceAccountIssuer;
    members.push(new ServiceAccountTokenAuthenticator({ issuers, audiences, keys, objects, clock }));
  }
  if (config.enableBootstrapTokenAuth) members.push(new BootstrapTokenAuthenticator(objects, clock));
  members.push(foreign);
  const webhookFile = config.authenticationTokenWebhookConfigFile;
  if (webhookFile !== "") {
    const version = config.authenticationTokenWebhookVersion;
    if (version !== "v1" && version !== "v1beta1") {
      throw new Error(`--authentication-token-webhook-version must be v1 or v1beta1, not ${JSON.stringify(version)}`);
    }
    const cacheTtlMs = config.authenticationTokenWebhookCacheTtlMs;
    const webhook = connectWebhook(webhookFile, { clock });
    members.push(new WebhookTokenAuthenticator({ webhook, version, cacheTtlMs, audiences, clock }));
  }
  return members;
}

function frontProxy(config: AuthenticationConfig, cas: CaBundle): Authenticator {
  return new FrontProxyAuthenticator({
    cas,
    allowedNames: config.requestheaderAllowedNames,
    usernameHeaders: config.requestheaderUsernameHeaders,
    uidHeaders: config.requestheaderUidHeaders,
    groupHeaders: config.requestheaderGroupHeaders,
    extraHeaderPrefixes: config.requestheaderExtraHeadersPrefix,
  });
}

async function readClientCas(config: AuthenticationConfig): Promise<ClientCas> {
  const bundle = async (path: string): Promise<CaBundle> => {
    if (path === "") return new CaBundle();
    try {
      return new CaBundle(await readFile(path, "utf8"));
    } catch (error) {
      throw new Error(`cannot read certificates from ${path}`, { cause: error });
    }
  };
  return {
    clients: await bundle(config.clientCaFile),
    frontProxies: await bundle(config.requestheaderClientCaFile),
  };
}

async function tokenFile(path: string): Promise<TokenAuthenticator> {
  try {
    return parseTokenFile(await readFile(path, "utf8"));
  } catch (error) {
    throw new Error(`cannot read static tokens from ${path}`, { cause: error });
  }
}
