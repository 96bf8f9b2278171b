/**
 * Gives every pod a ServiceAccount, its pull secrets, and the projected volume with token, CA and namespace.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/serviceaccount
 */
import { randomInt } from "node:crypto";
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, Pod, ServiceAccount, Volume } from "@knarr/api/generated/types/core-v1.ts";
import { podMentions } from "../authz/pod-references.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX = "kube-api-access-";
/** One hour and seven seconds: tells tokens that were asked for by default from others. */
const TOKEN_SECONDS = 3607;
const DEFAULT_ACCOUNT = "default";
const DEFAULT_ACCOUNT_TRIES = 10;
const RETRY_MS = 100;
/** Holds pods to the Secrets that their account lists. */
const ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets";
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
/** Letters and digits of generated names. Source: k8s.io/apimachinery/pkg/util/rand */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

export const serviceAccount: AdmissionPlugin = {
  name: "ServiceAccount",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.pods)) return;
    const pod = attributes.object as Pod;
    const spec = pod.spec;
    if (spec === undefined || isMirror(pod)) return;
    if (spec.serviceAccountName === undefined || spec.serviceAccountName === "") {
      spec.serviceAccountName = DEFAULT_ACCOUNT;
      spec.serviceAccount = DEFAULT_ACCOUNT;
    }
    const account = await accountOf(attributes, env, spec.serviceAccountName);
    if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(pod);
    addPullSecrets(pod, account);
  },
  async validate(attributes, env) {
    const isNew = attributes.operation === "CREATE" && isFor(attributes, core.pods);
    const isEphemeral = attributes.operation === "UPDATE" && isFor(attributes, core.pods, "ephemeralcontainers");
    if (!isNew && !isEphemeral) return;
    const pod = attributes.object as Pod;
    if (isMirror(pod)) return checkMirrorPod(attributes, pod);
    const name = pod.spec?.serviceAccountName ?? "";
    if (name === "") {
      const shown = `${attributes.namespace}/${pod.metadata.name}`;
      throw admissionForbidden(attributes, `no service account specified for pod ${shown}`);
    }
    const account = await accountOf(attributes, env, name);
    if (account.metadata.annotations?.[ENFORCE_MOUNTABLE] !== "true") return;
    const complaint = isNew ? foreignSecret(pod, account) : foreignEnvironment(pod.spec?.ephemeralContainers, account);
    if (complaint !== undefined) throw admissionForbidden(attributes, complaint);
  },
};

const isMirror = (pod: Pod) => pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;

/** A new namespace's default account comes within moments: whoever is quicker than its controller waits for it. */
async function accountOf(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  name: string,
): Promise<ServiceAccount> {
  const key = { namespace: attributes.namespace, name };
  const tries = name === DEFAULT_ACCOUNT ? DEFAULT_ACCOUNT_TRIES : 1;
  for (let attempt = 1; ; attempt += 1) {
    const account =
      (await env.lookup.get(core.serviceaccounts, key)) ??
      (await env.lookup.get(core.serviceaccounts, key, { live: true }));
    if (account !== undefined) return account;
    if (attempt >= tries) break;
    await env.clock.sleep(RETRY_MS + randomInt(RETRY_MS), attributes.signal);
  }
  throw admissionForbidden(
    attributes,
    `error looking up service account ${attributes.namespace}/${name}: serviceaccount "${name}" not found`,
  );
}

function checkMirrorPod(attributes: AdmissionAttributes, pod: Pod): void {
  const mentions = podMentions(pod);
  const refuseIf = (isSo: boolean, why: string) => {
    if (isSo) throw admissionForbidden(attributes, why);
  };
  refuseIf((pod.spec?.serviceAccountName ?? "") !== "", "a mirror pod may not reference service accounts");
  refuseIf(
    mentions.some(([kind]) => kind === "secret"),
    "a mirror pod may not reference secrets",
  );
  const projects = pod.spec?.volumes?.some((volume) =>
    volume.projected?.sources?.some((source) => source.serviceAccountToken !== undefined),
  );
  refuseIf(projects === true, "a mirror pod may not use ServiceAccountToken volume projections");
}

/** Why a pod may not have a Secret that its account does not list; undefined when all are listed. */
function foreignSecret(pod: Pod, account: ServiceAccount): string | undefined {
  const { spec } = pod;
  const listed = namesIn(account.secrets);
  const owner = account.metadata.name;
  const closing = `is not allowed because service account ${owner} does not reference that`;
  for (const { secret } of spec?.volumes ?? []) {
    if (secret === undefined || listed.has(secret.secretName ?? "")) continue;
    return `volume with secret.secretName=${JSON.stringify(secret.secretName)} ${closing} secret`;
  }
  const inEnvironment =
    foreignEnvironment(spec?.initContainers, account, "init container") ??
    foreignEnvironment(spec?.containers, account, "container");
  if (inEnvironment !== undefined) return inEnvironment;
  const pullable = namesIn(account.imagePullSecrets);
  for (const [index, { name = "" }] of (spec?.imagePullSecrets ?? []).entries()) {
    if (pullable.has(name)) continue;
    return `imagePullSecrets[${index}].name=${JSON.stringify(name)} ${closing} imagePullSecret`;
  }
  return undefined;
}

function foreignEnvironment(
  containers: readonly Pick<Container, "name" | "env" | "envFrom">[] | undefined,
  account: ServiceAccount,
  what = "ephemeral container",
): string | undefined {
  const listed = namesIn(account.secrets);
  const closing = `is not allowed because service account ${account.metadata.name} does not reference that secret`;
  for (const container of containers ?? []) {
    for (const { name, valueFrom } of container.env ?? []) {
      const secret = valueFrom?.secretKeyRef?.name;
      if (secret === undefined || listed.has(secret)) continue;
      const shown = `secret.secretName=${JSON.stringify(secret)}`;
      return `${what} ${container.name} with envVar ${name} referencing ${shown} ${closing}`;
    }
    for (const { secretRef } of container.envFrom ?? []) {
      if (secretRef?.name === undefined || listed.has(secretRef.name)) continue;
      return `${what} ${container.name} with envFrom referencing secret.secretName=${JSON.stringify(secretRef.name)} ${closing}`;
    }
  }
  return undefined;
}

const namesIn = (list: readonly { readonly name?: string | undefined }[] | undefined) =>
  new Set((list ?? []).map(({ name }) => name ?? ""));

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
  // One number for all five: the source of randomness is asked once.
  let rest = randomInt(ALPHABET.length ** 5);
  let suffix = "";
  for (let i = 0; i < 5; i++) {
    suffix += ALPHABET[rest % ALPHABET.length];
    rest = Math.floor(rest / ALPHABET.length);
  }
  return suffix;
}
