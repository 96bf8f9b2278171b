/** Where JWT issuers come from: the AuthenticationConfiguration file, or the --oidc-* flags, which are one issuer. */
import { readFile } from "node:fs/promises";
import {
  type AuthenticationSettings,
  type JwtIssuerSettings,
  parseAuthenticationConfiguration,
  SIGNING_ALGORITHMS,
} from "./authentication-configuration.ts";

export interface JwtFlags {
  readonly authenticationConfig: string;
  readonly oidcIssuerUrl: string;
  readonly oidcClientId: string;
  readonly oidcUsernameClaim: string;
  readonly oidcUsernamePrefix: string;
  readonly oidcGroupsClaim: string;
  readonly oidcGroupsPrefix: string;
  readonly oidcSigningAlgs: readonly string[];
  readonly oidcCaFile: string;
  readonly oidcRequiredClaim: Readonly<Record<string, string>>;
}

/** Throws an Error naming the flag or the file. */
export async function readAuthenticationSettings(flags: JwtFlags): Promise<AuthenticationSettings> {
  const { authenticationConfig: path } = flags;
  if (path === "") {
    const issuer = await oidcIssuer(flags);
    return { issuers: issuer === undefined ? [] : [issuer], anonymous: undefined };
  }
  if (flags.oidcIssuerUrl !== "" || flags.oidcClientId !== "") {
    throw new Error("authentication-config file and oidc-* flags are mutually exclusive");
  }
  try {
    return parseAuthenticationConfiguration(await readFile(path, "utf8"));
  } catch (error) {
    throw new Error(`--authentication-config ${path}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

async function oidcIssuer(flags: JwtFlags): Promise<JwtIssuerSettings | undefined> {
  const { oidcIssuerUrl: issuer, oidcClientId: clientId } = flags;
  if (issuer === "" && clientId === "") return undefined;
  if (issuer === "" || clientId === "") {
    throw new Error("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set");
  }
  if (URL.parse(issuer)?.protocol !== "https:") throw new Error("--oidc-issuer-url: URL scheme must be https");
  const unknown = flags.oidcSigningAlgs.find((name) => !SIGNING_ALGORITHMS.includes(name));
  if (unknown !== undefined) throw new Error(`--oidc-signing-algs: unknown algorithm ${JSON.stringify(unknown)}`);
  const { oidcUsernameClaim: claim, oidcGroupsClaim: groupsClaim } = flags;
  return {
    issuer,
    discoveryUrl: "",
    ca: flags.oidcCaFile === "" ? undefined : await readFile(flags.oidcCaFile, "utf8"),
    audiences: [clientId],
    algorithms: flags.oidcSigningAlgs,
    username: { claim, prefix: usernamePrefix(flags) },
    groups: groupsClaim === "" ? undefined : { claim: groupsClaim, prefix: flags.oidcGroupsPrefix },
    uidClaim: undefined,
    requiredClaims: Object.entries(flags.oidcRequiredClaim).map(([name, value]) => ({ claim: name, value })),
  };
}

/** Without a prefix of its own, names are told apart by their issuer; addresses are unique by themselves. */
function usernamePrefix({ oidcUsernamePrefix, oidcUsernameClaim, oidcIssuerUrl }: JwtFlags): string {
  if (oidcUsernamePrefix === "-") return "";
  if (oidcUsernamePrefix !== "") return oidcUsernamePrefix;
  return oidcUsernameClaim === "email" ? "" : `${oidcIssuerUrl}#`;
}
