/** Asks the cluster for a certificate: a CertificateSigningRequest, and the wait until somebody approves and signs it. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto } from "node:crypto";
import { certificates } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { GeneralName } from "@peculiar/x509";
import type { Template } from "./plan-rotation.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new P-256 key, PKCS#8. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/** PKCS#10, PEM. */
export async function makeRequest(keyPem: string, template: Template): Promise<string> {
  // Read when needed: most kubelets are given their certificates, or ask for one in months.
  await import("reflect-metadata");
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await import("@peculiar/x509");
  const crypto = webcrypto as Crypto;
  const der = (type: "pkcs8" | "spki") =>
    type === "pkcs8"
      ? createPrivateKey(keyPem).export({ type, format: "der" })
      : createPublicKey(keyPem).export({ type, format: "der" });
  const keys = {
    privateKey: await crypto.subtle.importKey("pkcs8", new Uint8Array(der("pkcs8")), ALGORITHM, false, ["sign"]),
    publicKey: await crypto.subtle.importKey("spki", new Uint8Array(der("spki")), ALGORITHM, true, ["verify"]),
  };
  const names: GeneralNameInit[] = [
    ...template.dnsNames.map((value) => ({ type: "dns", value }) as const),
    ...template.ipAddresses.map((value) => ({ type: "ip", value }) as const),
  ];
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      name: `O=${template.organization}, CN=${template.commonName}`,
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)],
    },
    crypto,
  );
  return request.toString("pem");
}

type GeneralNameInit = Pick<GeneralName, "value"> & { readonly type: "dns" | "ip" };

export interface CertificateRequest {
  readonly signerName: string;
  readonly usages: readonly string[];
  readonly template: Template;
  readonly keyPem: string;
  /** The same request may be made again with the same key, and is found; undefined: each has a name of its own. */
  readonly stableName: boolean;
}

export interface RequestOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How long somebody may take to approve and sign. */
  readonly timeoutMs: number;
}

/** Source: pkg/kubelet/certificate/bootstrap (digestedName): a name by which the same key's request is found again. */
function stableName({ keyPem, template, usages }: CertificateRequest): string {
  const hash = createHash("sha256");
  const spki = createPublicKey(keyPem).export({ type: "spki", format: "der" });
  for (const part of [spki, template.commonName, template.organization, ...usages]) {
    hash.update(`${Buffer.from(part).toString("base64url")}|`);
  }
  return `node-csr-${hash.digest("base64url")}`.toLowerCase().replaceAll("_", "-").replace(/-+$/, "");
}

const POLL_MS = 500;

/** The signed certificate, PEM. Throws when it was denied, failed, or nobody signed it in time. */
export async function requestCertificate(request: CertificateRequest, options: RequestOptions): Promise<string> {
  const { client, clock, signal, timeoutMs } = options;
  const { signerName, usages, template, keyPem } = request;
  const body: CertificateSigningRequest = {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: request.stableName ? { name: stableName(request) } : { generateName: "csr-" },
    spec: {
      request: Buffer.from(await makeRequest(keyPem, template)).toString("base64"),
      signerName,
      usages: [...usages],
    },
  };
  const ref = certificates.certificatesigningrequests;
  let name = body.metadata.name ?? "";
  try {
    name = (await client.create(ref, body, { signal })).metadata.name ?? "";
  } catch (error) {
    if (!isAlreadyExists(error) || name === "") throw error;
  }
  const deadline = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const { status } = await client.get(ref, { namespace: "", name }, { signal }).catch((error: unknown) => {
      if (isNotFound(error)) throw new Error(`the certificate signing request ${name} was deleted`, { cause: error });
      throw error;
    });
    for (const { type, reason, message } of status?.conditions ?? []) {
      if (type !== "Denied" && type !== "Failed") continue;
      throw new Error(
        `certificate signing request ${name} ${type.toLowerCase()}: ${reason ?? ""} ${message ?? ""}`.trimEnd(),
      );
    }
    if ((status?.certificate ?? "") !== "") return Buffer.from(status?.certificate ?? "", "base64").toString();
    if (clock.monotonicMs() >= deadline)
      throw new Error(`nobody signed the certificate signing request ${name} in time`);
    await clock.sleep(POLL_MS, signal);
  }
}
