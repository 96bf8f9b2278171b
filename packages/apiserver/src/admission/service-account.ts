/**
 * Gives every pod a ServiceAccount, its pull secrets, and the projected volume with token, CA and namespace.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/serviceaccount
 */
import { randomInt } from "node:crypto";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod, ServiceAccount, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { type AdmissionAttributes, type AdmissionPlugin, admissionForbidden, isFor } from "./plugin.ts";

const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX = "kube-api-access-";
/** One hour and seven seconds: tells tokens that were asked for by default from others. */
const TOKEN_SECONDS = 3607;
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
/** Letters and digits of generated names. Source: k8s.io/apimachinery/pkg/util/rand */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

export const serviceAccount: AdmissionPlugin = {
  name: "ServiceAccount",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.pods)) return;
    const pod = attributes.object as Pod;
    const spec = pod.spec;
    if (spec === undefined) return;
    if (pod.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) return checkMirrorPod(attributes, pod);
    if (spec.serviceAccountName === undefined || spec.serviceAccountName === "") {
      spec.serviceAccountName = "default";
      spec.serviceAccount = "default";
    }
    const name = spec.serviceAccountName;
    const key = { namespace: attributes.namespace, name };
    const account =
      (await env.lookup.get(core.serviceaccounts, key)) ??
      (await env.lookup.get(core.serviceaccounts, key, { live: true }));
    if (account === undefined) {
      throw admissionForbidden(
        attributes,
        `error looking up service account ${attributes.namespace}/${name}: serviceaccount "${name}" not found`,
      );
    }
    if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(pod);
    addPullSecrets(pod, account);
  },
};

function checkMirrorPod(attributes: AdmissionAttributes, pod: Pod): void {
  const spec = pod.spec;
  if (spec?.serviceAccountName !== undefined && spec.serviceAccountName !== "") {
    throw admissionForbidden(attributes, "a mirror pod may not reference service accounts");
  }
  for (const volume of spec?.volumes ?? []) {
    if (volume.secret !== undefined) throw admissionForbidden(attributes, "a mirror pod may not reference secrets");
    if (volume.projected?.sources?.some((source) => source.serviceAccountToken !== undefined) === true) {
      throw admissionForbidden(attributes, "a mirror pod may not use ServiceAccountToken volume projections");
    }
  }
}

function addPullSecrets(pod: Pod, account: ServiceAccount): void {
  const spec = pod.spec;
  if (spec === undefined || (spec.imagePullSecrets?.length ?? 0) > 0) return;
  const secrets = account.imagePullSecrets ?? [];
  if (secrets.length > 0) spec.imagePullSecrets = structuredClone(secrets);
}

function mountToken(pod: Pod): void {
  const spec = pod.spec;
  if (spec === undefined) return;
  const existing = spec.volumes?.find((volume) => volume.name.startsWith(VOLUME_PREFIX));
  const name = existing?.name ?? `${VOLUME_PREFIX}${randomSuffix()}`;
  const containers: Container[] = [...(spec.initContainers ?? []), ...spec.containers];
  let needed = false;
  for (const container of containers) {
    if (container.volumeMounts?.some((mount) => mount.mountPath === MOUNT_PATH) === true) continue;
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: MOUNT_PATH }];
    needed = true;
  }
  if (needed && existing === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
      defaultMode: 0o644,
    },
  };
}

/** Five characters as upstream appends to generated names. */
export function randomSuffix(): string {
  return Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}
