/**
 * Keys that sign and verify ServiceAccount tokens, and their identifiers.
 * Source: k8s.io/kubernetes/pkg/serviceaccount (key ids: base64url of SHA-256 of the public key's PKIX form)
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";

/** Signature algorithms that tokens may have. Nothing else is ever accepted, whatever a token's header says. */
export type TokenAlgorithm = "RS256" | "ES256" | "ES384" | "ES512";

export interface VerificationKey {
  readonly key: KeyObject;
  readonly keyId: string;
  readonly algorithm: TokenAlgorithm;
}

export interface SigningKey extends VerificationKey {
  /** The private key. */
  readonly privateKey: KeyObject;
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;

/** Every key in PEM text: public keys, private keys (their public half) and certificates. Throws an Error for a key of another kind. */
export function parseVerificationKeys(pem: string): readonly VerificationKey[] {
  const keys: VerificationKey[] = [];
  for (const [block, label] of pem.matchAll(PEM_BLOCK)) {
    if (label === "EC PARAMETERS") continue;
    keys.push(verificationKey(createPublicKey(block)));
  }
  if (keys.length === 0) throw new Error("no public or private key in PEM form");
  return keys;
}

export function parseSigningKey(pem: string): SigningKey {
  const block = [...pem.matchAll(PEM_BLOCK)].find(([, label]) => label?.endsWith("PRIVATE KEY") === true)?.[0];
  if (block === undefined) throw new Error("no private key in PEM form");
  const privateKey = createPrivateKey(block);
  return { ...verificationKey(createPublicKey(privateKey)), privateKey };
}

/** Reads --service-account-key-file (repeatable). Keys that several files hold count once. */
export async function loadVerificationKeys(files: readonly string[]): Promise<readonly VerificationKey[]> {
  const keys = new Map<string, VerificationKey>();
  for (const file of files) {
    try {
      for (const key of parseVerificationKeys(await readFile(file, "utf8"))) keys.set(key.keyId, key);
    } catch (error) {
      throw new Error(`cannot read ServiceAccount keys from ${file}`, { cause: error });
    }
  }
  return [...keys.values()];
}

export async function loadSigningKey(file: string): Promise<SigningKey> {
  try {
    return parseSigningKey(await readFile(file, "utf8"));
  } catch (error) {
    throw new Error(`cannot read the ServiceAccount signing key from ${file}`, { cause: error });
  }
}

function verificationKey(key: KeyObject): VerificationKey {
  const der = key.export({ type: "spki", format: "der" });
  return { key, keyId: createHash("sha256").update(der).digest("base64url"), algorithm: algorithmOf(key) };
}

const CURVES: Readonly<Record<string, TokenAlgorithm>> = {
  prime256v1: "ES256",
  "P-256": "ES256",
  secp384r1: "ES384",
  "P-384": "ES384",
  secp521r1: "ES512",
  "P-521": "ES512",
};

function algorithmOf(key: KeyObject): TokenAlgorithm {
  if (key.asymmetricKeyType === "rsa") return "RS256";
  const algorithm = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (algorithm === undefined) throw new Error(`unsupported key type ${key.asymmetricKeyType}: must be RSA or ECDSA`);
  return algorithm;
}
