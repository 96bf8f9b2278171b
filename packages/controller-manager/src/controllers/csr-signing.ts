/**
 * Signs approved requests for the cluster's four signers, each with its own authority or the common one.
 * Inputs: CertificateSigningRequests, the authorities' files. Writes: the requests' status.
 * Source: kubernetes/pkg/controller/certificates/signer
 */
import { certificates } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type AuthorityFiles, contentOf, parseRequest, signRequest } from "../adapters/certificate-authority.ts";
import type { Config } from "../config.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import {
  APISERVER_CLIENT,
  certificateTtlMs,
  conditionOf,
  KUBELET_CLIENT,
  KUBELET_SERVING,
  LEGACY_UNKNOWN,
  whyNotSigned,
} from "../core/certificate-request-plan.ts";

export const csrSigningController: Controller = {
  name: "certificatesigningrequest-signing-controller",
  aliases: ["csrsigning"],
  serviceAccount: "certificate-controller",
  start: async (context) => {
    const { client, clock, config, informers, log } = context;
    const authorities = authoritiesOf(config);
    if (authorities.size === 0) {
      log.warn("no --cluster-signing-cert-file: certificates are not signed");
      return undefined;
    }
    const queue = makeQueue(context);
    const requests = informers.informer(certificates.certificatesigningrequests);
    requests.subscribe({
      added: ({ metadata }) => queue.add(metadata.name ?? ""),
      updated: (_old, { metadata }) => queue.add(metadata.name ?? ""),
    });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const csr = requests.get({ namespace: "", name });
      if (csr === undefined || !waitsForSignature(csr)) return done;
      const files = authorities.get(csr.spec.signerName);
      if (files === undefined) return done;
      const request = await parseRequest(Buffer.from(csr.spec.request, "base64").toString());
      const usages = csr.spec.usages ?? [];
      const refusal = whyNotSigned(csr.spec.signerName, contentOf(request), usages);
      const now = clock.now();
      if (refusal !== undefined) {
        const time = rfc3339Seconds(now);
        const failed = {
          type: "Failed",
          status: "True",
          reason: "SignerValidationFailure",
          message: refusal,
          lastUpdateTime: time,
          lastTransitionTime: time,
        };
        const conditions = [...(csr.status?.conditions ?? []), failed];
        const next = { ...csr, status: { ...csr.status, conditions } };
        await client.update(certificates.certificatesigningrequests, next, { subresource: "status", signal });
        return done;
      }
      const ttlMs = certificateTtlMs(csr.spec.expirationSeconds, config.clusterSigningDurationMs);
      const pem = await signRequest(files, request, { usages, ttlMs, nowMs: now });
      const certificate = Buffer.from(pem).toString("base64");
      const next = { ...csr, status: { ...csr.status, certificate } };
      await client.update(certificates.certificatesigningrequests, next, { subresource: "status", signal });
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 5, needs: needs(requests), reconcile }, signal);
  },
};

function waitsForSignature(csr: CertificateSigningRequest): boolean {
  if ((csr.status?.certificate ?? "") !== "" || conditionOf(csr, "Approved") === undefined) return false;
  return conditionOf(csr, "Denied") === undefined && conditionOf(csr, "Failed")?.status !== "True";
}

/** By the signer's name; signers without files don't sign. */
function authoritiesOf(config: Config): ReadonlyMap<string, AuthorityFiles> {
  const own: readonly (readonly [string, string, string])[] = [
    [KUBELET_SERVING, config.clusterSigningKubeletServingCertFile, config.clusterSigningKubeletServingKeyFile],
    [KUBELET_CLIENT, config.clusterSigningKubeletClientCertFile, config.clusterSigningKubeletClientKeyFile],
    [
      APISERVER_CLIENT,
      config.clusterSigningKubeApiserverClientCertFile,
      config.clusterSigningKubeApiserverClientKeyFile,
    ],
    [LEGACY_UNKNOWN, config.clusterSigningLegacyUnknownCertFile, config.clusterSigningLegacyUnknownKeyFile],
  ];
  return new Map(
    own.flatMap(([signer, cert, key]) => {
      const certFile = cert === "" ? config.clusterSigningCertFile : cert;
      const keyFile = key === "" ? config.clusterSigningKeyFile : key;
      return certFile === "" || keyFile === "" ? [] : [[signer, { certFile, keyFile }] as const];
    }),
  );
}
