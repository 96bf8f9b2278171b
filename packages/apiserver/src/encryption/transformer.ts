/**
 * How one value is encrypted and decrypted, in the bytes that upstream stores:
 *   k8s:enc:aescbc:v1:KEY:    iv(16) AES-CBC with PKCS#7
 *   k8s:enc:aesgcm:v1:KEY:    nonce(12) ciphertext tag(16); the etcd key is authenticated with it
 *   k8s:enc:secretbox:v1:KEY: nonce(24) XSalsa20-Poly1305
 * and as it is with identity. Pure but for the random nonces.
 * Source: k8s.io/apiserver/pkg/storage/value/encrypt
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";

export interface Transformer {
  /** Encrypts with the first key. `storeKey` is the whole key in etcd. */
  encrypt(plain: Buffer, storeKey: string): Buffer;
  /** undefined when the value is not of this kind. Throws TransformError. Stale: written with another key than the first. */
  decrypt(stored: Buffer, storeKey: string): { readonly plain: Buffer; readonly isStale: boolean } | undefined;
}

export class TransformError extends Error {
  override readonly name = "TransformError";
}

export interface NamedKey {
  readonly name: string;
  readonly secret: Buffer;
}

interface Cipher {
  /** What upstream calls it in its error. */
  readonly title: string;
  seal(plain: Buffer, secret: Buffer, storeKey: string): Buffer;
  /** Throws anything when the bytes are not of this key. */
  open(sealed: Buffer, secret: Buffer, storeKey: string): Buffer;
}

const aesName = (secret: Buffer, mode: string): string => `aes-${secret.length * 8}-${mode}`;
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const CBC_IV_BYTES = 16;
const BOX_NONCE_BYTES = 24;

export const ciphers = {
  aescbc: {
    title: "AES",
    seal(plain, secret) {
      const iv = randomBytes(CBC_IV_BYTES);
      const cipher = createCipheriv(aesName(secret, "cbc"), secret, iv);
      return Buffer.concat([iv, cipher.update(plain), cipher.final()]);
    },
    open(sealed, secret) {
      const decipher = createDecipheriv(aesName(secret, "cbc"), secret, sealed.subarray(0, CBC_IV_BYTES));
      return Buffer.concat([decipher.update(sealed.subarray(CBC_IV_BYTES)), decipher.final()]);
    },
  },
  aesgcm: {
    title: "AES",
    seal(plain, secret, storeKey) {
      const nonce = randomBytes(GCM_NONCE_BYTES);
      const cipher = createCipheriv(aesName(secret, "gcm") as "aes-256-gcm", secret, nonce);
      cipher.setAAD(Buffer.from(storeKey));
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(sealed, secret, storeKey) {
      if (sealed.length < GCM_NONCE_BYTES + GCM_TAG_BYTES)
        throw new TransformError("the stored data was shorter than the required size");
      const end = sealed.length - GCM_TAG_BYTES;
      const nonce = sealed.subarray(0, GCM_NONCE_BYTES);
      const options = { authTagLength: GCM_TAG_BYTES };
      const decipher = createDecipheriv(aesName(secret, "gcm") as "aes-256-gcm", secret, nonce, options);
      decipher.setAAD(Buffer.from(storeKey));
      decipher.setAuthTag(sealed.subarray(end));
      return Buffer.concat([decipher.update(sealed.subarray(GCM_NONCE_BYTES, end)), decipher.final()]);
    },
  },
  secretbox: {
    title: "secretbox",
    seal(plain, secret) {
      const nonce = randomBytes(BOX_NONCE_BYTES);
      return Buffer.concat([nonce, xsalsa20poly1305(secret, nonce).encrypt(plain)]);
    },
    open(sealed, secret) {
      const nonce = sealed.subarray(0, BOX_NONCE_BYTES);
      return Buffer.from(xsalsa20poly1305(secret, nonce).decrypt(sealed.subarray(BOX_NONCE_BYTES)));
    },
  },
} as const satisfies Record<string, Cipher>;

export type CipherName = keyof typeof ciphers;

const ENCRYPTED = Buffer.from("k8s:enc:");

/** A provider with its keys; the first one writes. */
export function cipherTransformer(name: CipherName, keys: readonly NamedKey[]): Transformer {
  const cipher: Cipher = ciphers[name];
  const prefix = Buffer.from(`k8s:enc:${name}:v1:`);
  const [first] = keys;
  if (first === undefined) throw new TransformError(`provider ${name} has no key`);
  return {
    encrypt: (plain, storeKey) =>
      Buffer.concat([prefix, Buffer.from(`${first.name}:`), cipher.seal(plain, first.secret, storeKey)]),
    decrypt(stored, storeKey) {
      if (!stored.subarray(0, prefix.length).equals(prefix)) return undefined;
      const colon = stored.indexOf(0x3a, prefix.length);
      const keyName = colon < 0 ? "" : stored.toString("utf8", prefix.length, colon);
      const key = keys.find((one) => one.name === keyName);
      if (key === undefined) {
        throw new TransformError(`no matching key was found for the provided ${cipher.title} transformer`);
      }
      try {
        return { plain: cipher.open(stored.subarray(colon + 1), key.secret, storeKey), isStale: key !== first };
      } catch (cause) {
        throw new TransformError(`the value cannot be decrypted with key ${JSON.stringify(keyName)} of ${name}`, {
          cause,
        });
      }
    },
  };
}

export const identity: Transformer = {
  encrypt: (plain) => plain,
  decrypt(stored) {
    if (stored.subarray(0, ENCRYPTED.length).equals(ENCRYPTED)) return undefined;
    return { plain: stored, isStale: false };
  },
};

/** Providers in order: the first writes, the one whose prefix fits reads. What another than the first wrote is stale. */
export function chainOf(providers: readonly Transformer[]): Transformer {
  const [first] = providers;
  if (first === undefined) throw new TransformError("no provider");
  return {
    encrypt: (plain, storeKey) => first.encrypt(plain, storeKey),
    decrypt(stored, storeKey) {
      for (const provider of providers) {
        const found = provider.decrypt(stored, storeKey);
        if (found !== undefined) return { plain: found.plain, isStale: found.isStale || provider !== first };
      }
      const isEncrypted = stored.subarray(0, ENCRYPTED.length).equals(ENCRYPTED);
      if (isEncrypted && providers.includes(identity) && providers.length === 1) {
        throw new TransformError("identity transformer tried to read encrypted data");
      }
      throw new TransformError("no matching prefix found");
    },
  };
}
