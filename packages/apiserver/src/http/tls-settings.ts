/**
 * TLS as the flags ask for it: versions, cipher suites under Go's names, certificates by server name. Pure but for reading
 * certificates' names. Source: k8s.io/component-base/cli/flag/{ciphersuites_flag,namedcertkey_flag}.go
 */
import { X509Certificate } from "node:crypto";
import type { TlsMaterial } from "@knarr/daemon/tls-files.ts";

export type MinVersion = "TLSv1.2" | "TLSv1.3";

export interface TlsSettings {
  readonly minVersion: MinVersion;
  /** OpenSSL's names, with colons. */
  readonly ciphers: string;
}

/** Go's names and OpenSSL's. What has no forward secrecy, or CBC, or 3DES, or RC4 is not offered at all. */
const SUITES: ReadonlyMap<string, string> = new Map([
  ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"],
  ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"],
  ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
]);
/** TLS 1.3's cannot be chosen, as upstream's cannot; naming them does no harm. */
const TLS13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/** Throws TypeError naming what is wrong. Differs from upstream: nothing below TLS 1.2 and no suite without forward secrecy can be asked for. */
export function tlsSettings(minVersion: string, suites: readonly string[]): TlsSettings {
  const chosen = suites.length === 0 ? [...SUITES.values()] : suites.flatMap((name) => suiteOf(name));
  return { minVersion: versionOf(minVersion), ciphers: [...new Set([...TLS13, ...chosen])].join(":") };
}

export const DEFAULT_TLS: TlsSettings = tlsSettings("", []);

function versionOf(name: string): MinVersion {
  switch (name) {
    case "":
    case "VersionTLS12":
      return "TLSv1.2";
    case "VersionTLS13":
      return "TLSv1.3";
    default:
      throw new TypeError(`TLS version ${JSON.stringify(name)}: must be VersionTLS12 or VersionTLS13`);
  }
}

function suiteOf(name: string): string[] {
  if (TLS13.includes(name)) return [];
  const found = SUITES.get(name);
  if (found === undefined)
    throw new TypeError(`cipher suite ${JSON.stringify(name)}: must be among ${[...SUITES.keys()].join(", ")}`);
  return [found];
}

/** `--tls-sni-cert-key`: "cert.pem,key.pem" or "cert.pem,key.pem:*.example.com,example.org". */
export interface SniFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Empty: those of the certificate. */
  readonly names: readonly string[];
}

export function parseSniCertKey(text: string): SniFiles {
  const [files = "", names = ""] = text.split(":", 2);
  const [certFile = "", keyFile = "", more] = files.split(",");
  if (certFile === "" || keyFile === "" || more !== undefined) {
    throw new TypeError(`${JSON.stringify(text)}: must be CERT,KEY or CERT,KEY:NAME,NAME`);
  }
  return { certFile, keyFile, names: names.split(",").filter((name) => name !== "") };
}

export interface SniCertificate {
  readonly names: readonly string[];
  readonly tls: TlsMaterial;
}

/** Whether the certificate is for the server name: an exact name goes before a wildcard of one label. */
export function findSniCertificate(
  certificates: readonly SniCertificate[],
  serverName: string,
): SniCertificate | undefined {
  const name = serverName.toLowerCase();
  const wildcard = name.replace(/^[^.]+/, "*");
  return (
    certificates.find(({ names }) => names.includes(name)) ??
    certificates.find(({ names }) => names.includes(wildcard)) ??
    certificates.find(
      ({ names, tls }) => names.length === 0 && new X509Certificate(tls.cert).checkHost(name) !== undefined,
    )
  );
}
