/**
 * Reads PKCS#10 requests and signs them with an authority's key, read from its files at each signature, so that a
 * renewed authority counts at once. The subject goes into the certificate byte for byte.
 */
import "reflect-metadata";
import { createPrivateKey, type KeyObject, randomBytes, webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type GeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { RequestContent } from "../core/certificate-request-plan.ts";

const crypto = webcrypto as Crypto;
/** Clocks of a cluster differ; short-lived certificates lose too much by it. Source: PermissiveSigningPolicy */
const BACKDATE_MS = 5 * 60_000;
const SHORT_MS = 8 * 3_600_000;

const KEY_USAGES: Readonly<Record<string, KeyUsageFlags>> = {
  signing: KeyUsageFlags.digitalSignature,
  "digital signature": KeyUsageFlags.digitalSignature,
  "content commitment": KeyUsageFlags.nonRepudiation,
  "key encipherment": KeyUsageFlags.keyEncipherment,
  "key agreement": KeyUsageFlags.keyAgreement,
  "data encipherment": KeyUsageFlags.dataEncipherment,
  "cert sign": KeyUsageFlags.keyCertSign,
  "crl sign": KeyUsageFlags.cRLSign,
  "encipher only": KeyUsageFlags.encipherOnly,
  "decipher only": KeyUsageFlags.decipherOnly,
};
const EXTENDED_USAGES: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": ExtendedKeyUsage.serverAuth,
  "client auth": ExtendedKeyUsage.clientAuth,
  "code signing": ExtendedKeyUsage.codeSigning,
  "email protection": ExtendedKeyUsage.emailProtection,
  "s/mime": ExtendedKeyUsage.emailProtection,
  "ipsec end system": "1.3.6.1.5.5.7.3.5",
  "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
  "ipsec user": "1.3.6.1.5.5.7.3.7",
  timestamping: ExtendedKeyUsage.timeStamping,
  "ocsp signing": ExtendedKeyUsage.ocspSigning,
  "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
  "netscape sgc": "2.16.840.1.113730.4.1",
};

export interface AuthorityFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** `pem` may carry text around the request; throws when it is none or its signature is wrong. */
export async function parseRequest(pem: string): Promise<Pkcs10CertificateRequest> {
  const request = new Pkcs10CertificateRequest(pem);
  if (!(await request.verify(crypto))) throw new Error("the request's signature does not fit its key");
  return request;
}

export function contentOf(request: Pkcs10CertificateRequest): RequestContent {
  const names = namesOf(request);
  const of = (type: string) => names.filter((name) => name.type === type).map(({ value }) => value);
  return {
    commonName: request.subjectName.getField("CN").at(-1) ?? "",
    organizations: request.subjectName.getField("O"),
    dnsNames: of("dns"),
    ipAddresses: of("ip"),
    emails: of("email"),
    uris: of("url"),
  };
}

function namesOf(request: Pkcs10CertificateRequest): readonly GeneralName[] {
  const names = request.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension);
  return names?.names.items ?? [];
}

/** The certificate as PEM; it never outlives the authority. */
export async function signRequest(
  files: AuthorityFiles,
  request: Pkcs10CertificateRequest,
  of: { readonly usages: readonly string[]; readonly ttlMs: number; readonly nowMs: number },
): Promise<string> {
  const authority = new X509Certificate(await readFile(files.certFile, "utf8"));
  const { key, algorithm } = await importKey(createPrivateKey(await readFile(files.keyFile)));
  const end = of.ttlMs < SHORT_MS ? of.nowMs + of.ttlMs : of.nowMs + of.ttlMs - BACKDATE_MS;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: `0${randomBytes(15).toString("hex")}`,
      subject: request.subjectName,
      issuer: authority.subjectName,
      notBefore: new Date(of.nowMs - BACKDATE_MS),
      notAfter: new Date(Math.min(end, authority.notAfter.getTime())),
      signingAlgorithm: algorithm,
      signingKey: key,
      publicKey: request.publicKey,
      extensions: await extensionsFor(request, authority, of.usages),
    },
    crypto,
  );
  return `${certificate.toString("pem")}\n`;
}

/** When the first certificate of the PEM text ends; undefined when there is none. */
export function certificateEndMs(pem: string): number | undefined {
  try {
    return new X509Certificate(pem).notAfter.getTime();
  } catch {
    // Signed by somebody else, in a form of theirs: its end isn't known.
    return undefined;
  }
}

async function extensionsFor(
  request: Pkcs10CertificateRequest,
  authority: X509Certificate,
  usages: readonly string[],
): Promise<Extension[]> {
  const flags = usages.reduce<number>((sum, usage) => sum | (KEY_USAGES[usage] ?? 0), 0);
  const extended = [...new Set(usages.flatMap((usage) => EXTENDED_USAGES[usage] ?? []))];
  const names = namesOf(request);
  return [
    ...(flags === 0 ? [] : [new KeyUsagesExtension(flags, true)]),
    ...(extended.length === 0 ? [] : [new ExtendedKeyUsageExtension(extended)]),
    new BasicConstraintsExtension(false, undefined, true),
    await AuthorityKeyIdentifierExtension.create(authority, false, crypto),
    ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names.map((name) => name.toJSON()))]),
  ];
}

interface SigningAlgorithm {
  readonly name: string;
  readonly hash?: string;
  readonly namedCurve?: string;
}

async function importKey(key: KeyObject): Promise<{ key: CryptoKey; algorithm: SigningAlgorithm }> {
  const algorithm = algorithmOf(key);
  const der = key.export({ format: "der", type: "pkcs8" });
  return { key: await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]), algorithm };
}

function algorithmOf(key: KeyObject): SigningAlgorithm {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    case "ec":
      switch (key.asymmetricKeyDetails?.namedCurve) {
        case "secp384r1":
          return { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
        case "secp521r1":
          return { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" };
        default:
          return { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
      }
    case "ed25519":
      return { name: "Ed25519" };
    default:
      throw new Error(`the authority's key is of an unknown type: ${key.asymmetricKeyType}`);
  }
}
