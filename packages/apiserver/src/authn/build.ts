/** Wires the ways of authentication that the flags ask for. Call after serviceaccounts, pods, nodes and secrets are registered. */
import { readFile } from "node:fs/promises";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Storage } from "../storage/storage.ts";
import { BearerTokenAuthenticator, tokenUnion } from "./bearer-token.ts";
import { BootstrapTokenAuthenticator } from "./bootstrap-token.ts";
import { ClientCertificateAuthenticator } from "./client-certificate.ts";
import { TokenIssuer } from "./issue-token.ts";
import { RequestAuthenticator } from "./request-authenticator.ts";
import { loadSigningKey, loadVerificationKeys, type VerificationKey } from "./service-account-keys.ts";
import { ServiceAccountTokenAuthenticator } from "./service-account-token.ts";
import { parseTokenFile } from "./static-token.ts";
import { storageTokenObjects } from "./token-objects.ts";
import type { Authenticator, TokenAuthenticator } from "./types.ts";

/** The flags that matter here, by the names of the server's Config; "" and [] stand for absent. */
export interface AuthenticationConfig {
  readonly clientCaFile: string;
  readonly serviceAccountIssuer: string;
  readonly serviceAccountKeyFile: readonly string[];
  readonly serviceAccountSigningKeyFile: string;
  /** 0: no limit. */
  readonly serviceAccountMaxTokenExpirationMs: number;
  readonly apiAudiences: readonly string[];
  readonly anonymousAuth: boolean;
  readonly tokenAuthFile: string;
  readonly enableBootstrapTokenAuth: boolean;
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
}

/** Reads the key and token files; throws an Error naming the file. */
export async function buildAuthentication(
  config: AuthenticationConfig,
  { storage, clock }: { readonly storage: Storage; readonly clock: Clock },
): Promise<BuiltAuthentication> {
  const audiences = config.apiAudiences.length === 0 ? [config.serviceAccountIssuer] : config.apiAudiences;
  const signingFile = config.serviceAccountSigningKeyFile;
  // Without public keys of its own, the server trusts what it signs.
  const keyFiles =
    config.serviceAccountKeyFile.length === 0 && signingFile !== "" ? [signingFile] : config.serviceAccountKeyFile;
  const keys = await loadVerificationKeys(keyFiles);
  const objects = storageTokenObjects(storage);
  const members: TokenAuthenticator[] = [];
  if (config.tokenAuthFile !== "") members.push(await tokenFile(config.tokenAuthFile));
  if (keys.length > 0) {
    members.push(
      new ServiceAccountTokenAuthenticator({ issuers: [config.serviceAccountIssuer], audiences, keys, objects, clock }),
    );
  }
  if (config.enableBootstrapTokenAuth) members.push(new BootstrapTokenAuthenticator(objects, clock));
  const tokens = tokenUnion(members);
  const ways: Authenticator[] = [];
  if (config.clientCaFile !== "") ways.push(new ClientCertificateAuthenticator(clock));
  ways.push(new BearerTokenAuthenticator(tokens));
  return {
    authenticator: new RequestAuthenticator(ways, { anonymous: config.anonymousAuth }),
    tokens,
    issuer:
      signingFile === ""
        ? undefined
        : new TokenIssuer({
            issuer: config.serviceAccountIssuer,
            key: await loadSigningKey(signingFile),
            audiences,
            objects,
            clock,
            maxExpirationSeconds: Math.floor(config.serviceAccountMaxTokenExpirationMs / 1000),
          }),
    keys,
    audiences,
  };
}

async function tokenFile(path: string): Promise<TokenAuthenticator> {
  try {
    return parseTokenFile(await readFile(path, "utf8"));
  } catch (error) {
    throw new Error(`cannot read static tokens from ${path}`, { cause: error });
  }
}
