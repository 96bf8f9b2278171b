/**
 * The cluster's certificates, in kubeadm's files: one authority, a certificate per daemon and node, a key for
 * ServiceAccount tokens. What is there and still good is kept; what nears its end or lacks a name is made anew.
 * Source: kubernetes.io/docs/setup/best-practices/certificates
 */
import "reflect-metadata";
import { createPrivateKey, X509Certificate as NodeCertificate, randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { readIfThere, writeWhole } from "./whole-file.ts";

const crypto = webcrypto as Crypto;
const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 3600 * 1000;
const CA_DAYS = 3650;
const LEAF_DAYS = 365;
/** A certificate with less than this left is made anew at the next `up`. */
const RENEW_BEFORE_MS = 30 * DAY_MS;
/** Clocks of a cluster may differ a little. */
const BACKDATE_MS = 5 * 60 * 1000;
/** File modes. */
const SECRET = 0o600;
const PUBLIC = 0o644;

export interface KeyFiles {
  readonly cert: string;
  readonly key: string;
}
export interface Authority {
  readonly certificate: X509Certificate;
  readonly keys: { readonly privateKey: CryptoKey };
}
export interface LeafSpec {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  /** Host names and addresses; a certificate with some is for serving. */
  readonly hosts?: readonly string[];
  readonly usages: readonly ("server" | "client")[];
}

async function privateKeyPem(key: CryptoKey): Promise<string> {
  return `${PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

function importPrivateKey(pem: string): Promise<CryptoKey> {
  const [der] = PemConverter.decode(pem);
  if (der === undefined) throw new Error("the key file holds no PEM block");
  return crypto.subtle.importKey("pkcs8", der, ECDSA, true, ["sign"]);
}

const serialNumber = () => `0${randomBytes(15).toString("hex")}`;

/** RDN values with commas and the like are quoted. */
function distinguishedName({ commonName, organizations = [] }: Pick<LeafSpec, "commonName" | "organizations">): string {
  const quote = (text: string) => text.replace(/[\\,+"<>;=]/g, "\\$&");
  return [...organizations.map((o) => `O=${quote(o)}`), `CN=${quote(commonName)}`].join(", ");
}

/** Reads the authority, or makes it. Never replaces one that is there: everything hangs on it. */
export async function ensureAuthority(commonName: string, files: KeyFiles, nowMs: number): Promise<Authority> {
  const [cert, key] = await Promise.all([readIfThere(files.cert), readIfThere(files.key)]);
  // The key is written first: a key alone is what an interrupted first run left, and has signed nothing.
  if (cert !== undefined && key === undefined) {
    throw new Error(`${files.cert} is there without ${files.key}: restore the key, or remove the certificate`);
  }
  if (cert !== undefined && key !== undefined) {
    const certificate = new X509Certificate(cert);
    if (certificate.notAfter.getTime() <= nowMs)
      throw new Error(`${files.cert} expired on ${certificate.notAfter.toISOString()}`);
    return { certificate, keys: { privateKey: await importPrivateKey(key) } };
  }
  const keys = (await crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: `CN=${commonName}`,
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter: new Date(nowMs + CA_DAYS * DAY_MS),
      signingAlgorithm: ECDSA,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(
          KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment,
          true,
        ),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
        new SubjectAlternativeNameExtension([{ type: "dns", value: commonName }]),
      ],
    },
    crypto,
  );
  await writeWhole(files.key, await privateKeyPem(keys.privateKey), SECRET);
  await writeWhole(files.cert, `${certificate.toString("pem")}\n`, PUBLIC);
  return { certificate, keys };
}

/** Whether the certificate on file can go on being used for `spec`. */
async function isGood(pem: string, spec: LeafSpec, authority: Authority, nowMs: number): Promise<boolean> {
  const certificate = new X509Certificate(pem);
  if (certificate.notAfter.getTime() - nowMs < RENEW_BEFORE_MS) return false;
  if (certificate.subject !== distinguishedName(spec)) return false;
  const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items.map((n) => n.value) ?? [];
  if (!(spec.hosts ?? []).every((host) => names.includes(host))) return false;
  return certificate.verify({ publicKey: authority.certificate.publicKey, date: new Date(nowMs) }, crypto);
}

/** False too for what an interrupted run left: half a file, or a new key beside the old certificate. */
function belongTogether(cert: string, key: string): boolean {
  try {
    return new NodeCertificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false; // neither of them is of use when it can't be read
  }
}

/** Returns whether the certificate was made anew. */
export async function ensureCertificate(
  spec: LeafSpec,
  files: KeyFiles,
  authority: Authority,
  nowMs: number,
): Promise<boolean> {
  const [cert, key] = await Promise.all([readIfThere(files.cert), readIfThere(files.key)]);
  if (cert !== undefined && key !== undefined && belongTogether(cert, key)) {
    if (await isGood(cert, spec, authority, nowMs)) return false;
  }
  const keys = (await crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const usages = { server: ExtendedKeyUsage.serverAuth, client: ExtendedKeyUsage.clientAuth } as const;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: distinguishedName(spec),
      issuer: authority.certificate.subject,
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter: new Date(Math.min(nowMs + LEAF_DAYS * DAY_MS, authority.certificate.notAfter.getTime())),
      signingAlgorithm: ECDSA,
      publicKey: keys.publicKey,
      signingKey: authority.keys.privateKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
        new ExtendedKeyUsageExtension(spec.usages.map((usage) => usages[usage])),
        ...(spec.hosts === undefined
          ? []
          : [
              new SubjectAlternativeNameExtension(
                spec.hosts.map((host) => ({ type: isIP(host) === 0 ? "dns" : "ip", value: host }) as const),
              ),
            ]),
      ],
    },
    crypto,
  );
  await writeWhole(files.key, await privateKeyPem(keys.privateKey), SECRET);
  await writeWhole(files.cert, `${certificate.toString("pem")}\n`, PUBLIC);
  return true;
}

/** The RSA pair that signs and verifies ServiceAccount tokens: sa.key and sa.pub. */
export async function ensureServiceAccountKeys(keyFile: string, publicFile: string): Promise<void> {
  if ((await readIfThere(keyFile)) !== undefined && (await readIfThere(publicFile)) !== undefined) return;
  const rsa = {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  };
  const keys = (await crypto.subtle.generateKey(rsa, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  await writeWhole(keyFile, await privateKeyPem(keys.privateKey), SECRET);
  await writeWhole(
    publicFile,
    `${PemConverter.encode(await crypto.subtle.exportKey("spki", keys.publicKey), "PUBLIC KEY")}\n`,
    PUBLIC,
  );
}
