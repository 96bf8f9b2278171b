/**
 * Resolves a pod's priorityClassName into its priority, and keeps the global default unique.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/priority
 */
import { core, scheduling } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { PriorityClass } from "@knarr/api/generated/types/scheduling-v1.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const DEFAULT_POLICY = "PreemptLowerPriority";

export const priority: AdmissionPlugin = {
  name: "Priority",
  async admit(attributes, env) {
    if (!isFor(attributes, core.pods)) return;
    if (attributes.operation === "UPDATE") return keepPriority(attributes);
    if (attributes.operation !== "CREATE") return;
    await resolve(attributes, env);
  },
  async validate(attributes, env) {
    if (!isFor(attributes, scheduling.priorityclasses)) return;
    if (attributes.operation !== "CREATE" && attributes.operation !== "UPDATE") return;
    const wanted = attributes.object as PriorityClass;
    if (wanted.globalDefault !== true) return;
    const other = await globalDefault(env);
    if (other === undefined || other.metadata?.name === wanted.metadata?.name) return;
    throw admissionForbidden(
      attributes,
      `PriorityClass ${other.metadata?.name} is already marked as default. Only one default can exist`,
    );
  },
};

/** The fields are the server's: an update that leaves them out keeps them. */
function keepPriority(attributes: AdmissionAttributes): void {
  const spec = (attributes.object as Pod).spec;
  const old = (attributes.oldObject as Pod | undefined)?.spec;
  if (spec === undefined || old === undefined) return;
  if (spec.priority === undefined && old.priority !== undefined) spec.priority = old.priority;
  if (spec.preemptionPolicy === undefined && old.preemptionPolicy !== undefined) {
    spec.preemptionPolicy = old.preemptionPolicy;
  }
}

async function resolve(attributes: AdmissionAttributes, env: AdmissionEnvironment): Promise<void> {
  const spec = (attributes.object as Pod).spec;
  if (spec === undefined) return;
  let found: PriorityClass | undefined;
  if (spec.priorityClassName === undefined || spec.priorityClassName === "") {
    found = await globalDefault(env);
    if (found?.metadata?.name !== undefined) spec.priorityClassName = found.metadata.name;
  } else {
    const key = { namespace: "", name: spec.priorityClassName };
    found =
      (await env.lookup.get(scheduling.priorityclasses, key)) ??
      (await env.lookup.get(scheduling.priorityclasses, key, { live: true }));
    if (found === undefined) {
      throw admissionForbidden(attributes, `no PriorityClass with name ${spec.priorityClassName} was found`);
    }
  }
  const value = found?.value ?? 0;
  const policy = found?.preemptionPolicy ?? DEFAULT_POLICY;
  if (spec.priority !== undefined && spec.priority !== value) {
    throw admissionForbidden(
      attributes,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; ` +
        `priority admission controller computed ${value} from the given PriorityClass name`,
    );
  }
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw admissionForbidden(
      attributes,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ` +
        `priority admission controller computed ${policy} from the given PriorityClass name`,
    );
  }
  spec.priority = value;
  spec.preemptionPolicy = policy;
}

/** Of several (a race between two creates), the one of least value counts. */
async function globalDefault(env: AdmissionEnvironment): Promise<PriorityClass | undefined> {
  const classes = await env.lookup.list(scheduling.priorityclasses);
  const defaults = classes.filter((c) => c.globalDefault === true);
  return defaults.sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}
