/**
 * Holds pods to the Pod Security Standards that their namespace's labels choose: refuses (enforce), notes in the audit log
 * (audit), tells the client (warn). Workloads are only warned about: their pods are what is refused.
 * Source: k8s.io/pod-security-admission/admission/admission.go, KEP-2579
 */
import { apps, batch, core } from "@knarr/api/generated/resources.ts";
import type { Namespace, Pod, PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "../plugin.ts";
import type { PodLike } from "./checks/check.ts";
import { type PodSecurityConfiguration, parsePodSecurityConfiguration } from "./configuration.ts";
import { evaluatePod, showReasons, showViolations } from "./evaluate.ts";
import { compareLevels, type LevelVersion, type Policy, policyOf, showPolicy } from "./policy-version.ts";

const NAME = "PodSecurity";
const ANNOTATION = "pod-security.kubernetes.io/";
/** Anything else that is written below a pod carries a pod. */
const IGNORED_SUBRESOURCES = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/** Pods of a namespace that are looked at when its policy becomes stricter. */
const MAX_PODS = 3000;

interface WithTemplate {
  readonly spec?: {
    readonly template?: PodTemplateSpec;
    readonly jobTemplate?: { spec?: { template?: PodTemplateSpec } };
  };
  readonly template?: PodTemplateSpec;
}
const WORKLOADS: readonly ResourceRef<unknown>[] = [
  core.replicationcontrollers,
  core.podtemplates,
  apps.replicasets,
  apps.deployments,
  apps.statefulsets,
  apps.daemonsets,
  batch.jobs,
  batch.cronjobs,
];

export function createPodSecurity(document: JsonObject | undefined): AdmissionPlugin {
  const configuration = parsePodSecurityConfiguration(document);
  return {
    name: NAME,
    async validate(attributes, env) {
      const { operation, ref, subresource } = attributes;
      if (operation !== "CREATE" && operation !== "UPDATE") return;
      if (isFor(attributes, core.namespaces)) return validateNamespace(attributes, env, configuration);
      if (ref.group === core.pods.group && ref.resource === core.pods.resource) {
        if (!IGNORED_SUBRESOURCES.includes(subresource)) await validatePod(attributes, env, configuration);
        return;
      }
      if (WORKLOADS.some((workload) => isFor(attributes, workload))) {
        await validateWorkload(attributes, env, configuration);
      }
    },
  };
}

async function validateNamespace(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  { defaults, exemptions }: PodSecurityConfiguration,
): Promise<void> {
  const namespace = attributes.object as Namespace;
  const name = namespace.metadata.name ?? "";
  const now = policyOf(namespace.metadata.labels, defaults);
  const old = attributes.oldObject;
  const before = old === undefined ? undefined : policyOf(old.metadata.labels, defaults);
  // What was wrong before may stay wrong: an update of something else must get through.
  if (now.errors.length > 0 && JSON.stringify(now.errors) !== JSON.stringify(before?.errors)) {
    throw statusErrors.invalid("", "Namespace", name, [...now.errors]);
  }
  const samePolicy = before !== undefined && JSON.stringify(before.policy) === JSON.stringify(now.policy);
  if (exemptions.namespaces.includes(name)) {
    if (!samePolicy) warnExempt(attributes, name, now.policy, defaults);
    return;
  }
  if (before === undefined) return;
  const { enforce } = now.policy;
  const previous = before.policy.enforce;
  const sameVersion = enforce.version === previous.version;
  if (enforce.level === "privileged") return;
  if (sameVersion && compareLevels(enforce.level, previous.level) < 1) return;
  await warnAboutPods(attributes, env, enforce, exemptions.runtimeClasses);
}

function warnExempt(attributes: AdmissionAttributes, name: string, policy: Policy, defaults: Policy): void {
  const set = (["enforce", "audit", "warn"] as const).filter(
    (mode) => showPolicy(policy[mode]) !== showPolicy(defaults[mode]) && policy[mode].level !== "privileged",
  );
  if (set.length === 0) return;
  const shown = set.map((mode) => `${mode}=${showPolicy(policy[mode])}`).join(", ");
  attributes.warn(
    `namespace ${JSON.stringify(name)} is exempt from Pod Security, and the policy (${shown}) will be ignored`,
  );
}

/** Pods that run already stay; whoever tightens the policy is told which of them would be refused now. */
async function warnAboutPods(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  enforce: LevelVersion,
  exemptClasses: readonly string[],
): Promise<void> {
  const name = attributes.object?.metadata.name ?? "";
  const pods = await env.lookup.list(core.pods, name);
  const checked = pods.slice(0, MAX_PODS);
  const byReason = new Map<string, string[]>();
  for (const pod of checked) {
    if (pod.spec === undefined || exemptClasses.includes(pod.spec.runtimeClassName ?? "")) continue;
    const violations = evaluatePod(enforce, { metadata: pod.metadata, spec: pod.spec });
    if (violations.length === 0) continue;
    const reasons = showReasons(violations);
    byReason.set(reasons, [...(byReason.get(reasons) ?? []), pod.metadata.name ?? ""]);
  }
  if (checked.length < pods.length) {
    attributes.warn(
      `new PodSecurity enforce level only checked against the first ${checked.length} of ${pods.length} existing pods`,
    );
  }
  if (byReason.size === 0) return;
  attributes.warn(
    `existing pods in namespace ${JSON.stringify(name)} violate the new PodSecurity enforce level ${JSON.stringify(showPolicy(enforce))}`,
  );
  const lines = [...byReason].map(([reasons, names]) => {
    const others = names.length - 1;
    const more = others === 0 ? "" : ` (and ${others} other ${others === 1 ? "pod" : "pods"})`;
    return `${names.sort()[0]}${more}: ${reasons}`;
  });
  for (const line of lines.sort()) attributes.warn(line);
}

async function validatePod(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  configuration: PodSecurityConfiguration,
): Promise<void> {
  if (isExempt(attributes, configuration)) return;
  const pod = attributes.object as Pod;
  const chosen = await policyFor(attributes, env, configuration);
  if (isPrivileged(chosen.policy.enforce, chosen.policy.audit, chosen.policy.warn)) return;
  if (attributes.operation === "UPDATE" && !isSignificant(pod, attributes.oldObject as Pod)) return;
  if (pod.spec === undefined) return;
  judge(attributes, configuration, { ...chosen, pod: { metadata: pod.metadata, spec: pod.spec }, enforce: true });
}

async function validateWorkload(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  configuration: PodSecurityConfiguration,
): Promise<void> {
  if (isExempt(attributes, configuration)) return;
  const chosen = await policyFor(attributes, env, configuration);
  if (isPrivileged(chosen.policy.audit, chosen.policy.warn)) return;
  const workload = attributes.object as WithTemplate;
  const template = workload.template ?? workload.spec?.template ?? workload.spec?.jobTemplate?.spec?.template;
  if (template?.spec === undefined) return;
  judge(attributes, configuration, {
    ...chosen,
    pod: { metadata: template.metadata ?? {}, spec: template.spec },
    enforce: false,
  });
}

const isPrivileged = (...policies: readonly LevelVersion[]) => policies.every(({ level }) => level === "privileged");

function isExempt(attributes: AdmissionAttributes, { exemptions }: PodSecurityConfiguration): boolean {
  const why = exemptions.namespaces.includes(attributes.namespace)
    ? "namespace"
    : exemptions.usernames.includes(attributes.user.name)
      ? "user"
      : undefined;
  if (why !== undefined) attributes.annotate(`${ANNOTATION}exempt`, why);
  return why !== undefined;
}

async function policyFor(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  { defaults }: PodSecurityConfiguration,
): Promise<{ policy: Policy }> {
  const key = { namespace: "", name: attributes.namespace };
  const namespace =
    (await env.lookup.get(core.namespaces, key)) ?? (await env.lookup.get(core.namespaces, key, { live: true }));
  if (namespace === undefined) throw statusErrors.notFound({ group: "", resource: "namespaces" }, key.name);
  const { policy, errors } = policyOf(namespace.metadata.labels, defaults);
  if (errors.length > 0) {
    const shown = errors.map(({ field, message }) => `${field}: ${message}`).join(", ");
    attributes.annotate(`${ANNOTATION}error`, `Failed to parse policy: ${shown}`);
  }
  return { policy };
}

function judge(
  attributes: AdmissionAttributes,
  { exemptions }: PodSecurityConfiguration,
  { policy, pod, enforce }: { readonly policy: Policy; readonly pod: PodLike; readonly enforce: boolean },
): void {
  if (exemptions.runtimeClasses.includes(pod.spec.runtimeClassName ?? "")) {
    attributes.annotate(`${ANNOTATION}exempt`, "runtimeClass");
    return;
  }
  const refused = enforce ? violationText(policy.enforce, pod) : undefined;
  if (enforce) attributes.annotate(`${ANNOTATION}enforce-policy`, showPolicy(policy.enforce));
  const noted = violationText(policy.audit, pod);
  if (noted !== undefined) attributes.annotate(`${ANNOTATION}audit-violations`, `would ${noted}`);
  if (refused !== undefined) throw admissionForbidden(attributes, refused.replace(/^violate/, "violates"));
  const warned = violationText(policy.warn, pod);
  if (warned !== undefined) attributes.warn(`would ${warned}`);
}

function violationText(policy: LevelVersion, pod: PodLike): string | undefined {
  const violations = evaluatePod(policy, pod);
  if (violations.length === 0) return undefined;
  return `violate PodSecurity ${JSON.stringify(showPolicy(policy))}: ${showViolations(violations)}`;
}

/** Of what may change in a pod, only images and the seccomp annotations matter here. */
function isSignificant(pod: Pod, old: Pod): boolean {
  const images = ({ spec }: Pod) =>
    JSON.stringify(
      [spec?.initContainers, spec?.containers, spec?.ephemeralContainers].map((list) =>
        (list ?? []).map((container) => [container.name, container.image]),
      ),
    );
  const profiles = ({ metadata }: Pod) =>
    JSON.stringify(
      Object.entries(metadata.annotations ?? {})
        .filter(([key]) => key.includes("seccomp.security.alpha.kubernetes.io/"))
        .sort(),
    );
  return images(pod) !== images(old) || profiles(pod) !== profiles(old);
}
