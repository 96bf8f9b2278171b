/**
 * A throw-away cluster PKI for tests: one CA, a serving certificate, client certificates, ServiceAccount keys, all as
 * PEM files in a folder. Keys are P-256; nothing here is fit for anything but tests.
 */
import "reflect-metadata";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const DAY_MS = 86_400_000;

export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateRequest {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** Offset of the validity's start and end from now; a day back and two days on when absent. */
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

export class TestPki {
  readonly dir: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #ca: x509.X509Certificate;

  private constructor(dir: string, keys: webcrypto.CryptoKeyPair, ca: x509.X509Certificate) {
    this.dir = dir;
    this.#keys = keys;
    this.#ca = ca;
  }

  /** Makes the CA and the ServiceAccount keys, writing ca.crt, ca.key, sa.key and sa.pub below `dir`. */
  static async create(dir: string, options: { readonly commonName?: string } = {}): Promise<TestPki> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: `CN=${options.commonName ?? "kubernetes"}`,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + 2 * DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
      ],
    });
    const pki = new TestPki(dir, keys, ca);
    await writeFile(join(dir, "ca.crt"), pki.caCert);
    await writeFile(join(dir, "ca.key"), await pemOfKey(keys.privateKey), { mode: 0o600 });
    const sa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    await writeFile(join(dir, "sa.key"), sa.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    await writeFile(join(dir, "sa.pub"), sa.publicKey.export({ type: "spki", format: "pem" }));
    return pki;
  }

  get caCert(): string {
    return `${this.#ca.toString("pem")}\n`;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** Issues a certificate (server names given: for serving; otherwise for a client) and writes NAME.crt, NAME.key. */
  async issue(name: string, request: CertificateRequest): Promise<PemPair> {
    const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
    const alternativeNames: x509.JsonGeneralNames = [
      ...(request.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
      ...(request.ipAddresses ?? []).map((value) => ({ type: "ip" as const, value })),
    ];
    const subject = new x509.Name([
      ...(request.organizations ?? []).map((o) => ({ O: [o] })),
      { CN: [request.commonName] },
    ]);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8)))
        .toString("hex")
        .replace(/^./, "1"),
      subject: subject.toString(),
      issuer: this.#ca.subject,
      notBefore: new Date(Date.now() + (request.notBeforeMs ?? -DAY_MS)),
      notAfter: new Date(Date.now() + (request.notAfterMs ?? 2 * DAY_MS)),
      signingKey: this.#keys.privateKey,
      publicKey: keys.publicKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(alternativeNames.length > 0 ? [SERVER_AUTH, CLIENT_AUTH] : [CLIENT_AUTH]),
        ...(alternativeNames.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternativeNames)] : []),
      ],
    });
    const pair = { cert: `${certificate.toString("pem")}\n`, key: await pemOfKey(keys.privateKey) };
    await writeFile(this.path(`${name}.crt`), pair.cert);
    await writeFile(this.path(`${name}.key`), pair.key, { mode: 0o600 });
    return pair;
  }
}

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
