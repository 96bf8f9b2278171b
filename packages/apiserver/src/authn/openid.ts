/**
 * The documents by which others verify ServiceAccount tokens: /.well-known/openid-configuration and /openid/v1/jwks.
 * Source: KEP-1393; OpenID Connect Discovery 1.0 3; RFC 7517
 */
import type { VerificationKey } from "./service-account-keys.ts";

export function openidConfiguration(
  issuer: string,
  keys: readonly VerificationKey[],
  jwksUri: string,
): Readonly<Record<string, unknown>> {
  return {
    issuer,
    jwks_uri: jwksUri,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [...new Set(keys.map((key) => key.algorithm))].sort(),
  };
}

/** The public keys; nothing private can be in them, as they are made of public KeyObjects. */
export function jsonWebKeySet(keys: readonly VerificationKey[]): { readonly keys: readonly Record<string, unknown>[] } {
  return {
    keys: keys.map(({ key, keyId, algorithm }) => ({
      use: "sig",
      kid: keyId,
      alg: algorithm,
      ...key.export({ format: "jwk" }),
    })),
  };
}
