/**
 * Gives a pod its RuntimeClass's overhead and node constraints, and refuses unknown classes.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/runtimeclass, KEP-688
 */
import { core, node } from "@knarr/api/generated/resources.ts";
import type { Pod, Toleration } from "@knarr/api/generated/types/core-v1.ts";
import type { RuntimeClass } from "@knarr/api/generated/types/node-v1.ts";
import { equalResources } from "@knarr/api/quota/resource-lists.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

export const runtimeClass: AdmissionPlugin = {
  name: "RuntimeClass",
  async admit(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.pods)) return;
    const found = await classOf(attributes, env);
    if (found === undefined) return;
    setOverhead(attributes, found);
    setScheduling(attributes, found);
  },
  async validate(attributes, env) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, core.pods)) return;
    const overhead = (attributes.object as Pod).spec?.overhead;
    const wanted = (await classOf(attributes, env))?.overhead?.podFixed;
    if (wanted !== undefined) {
      if (!equalResources(wanted, overhead ?? {})) throw admissionForbidden(attributes, MISMATCH);
    } else if (overhead !== undefined && Object.keys(overhead).length > 0) {
      throw admissionForbidden(
        attributes,
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
      );
    }
  },
};

async function classOf(attributes: AdmissionAttributes, env: AdmissionEnvironment): Promise<RuntimeClass | undefined> {
  const name = (attributes.object as Pod).spec?.runtimeClassName;
  if (name === undefined || name === "") return undefined;
  const key = { namespace: "", name };
  const found =
    (await env.lookup.get(node.runtimeclasses, key)) ??
    (await env.lookup.get(node.runtimeclasses, key, { live: true }));
  if (found === undefined) {
    throw admissionForbidden(attributes, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
  }
  return found;
}

function setOverhead(attributes: AdmissionAttributes, found: RuntimeClass): void {
  const { spec } = attributes.object as Pod;
  const wanted = found.overhead?.podFixed;
  if (spec === undefined || wanted === undefined) return;
  const given = spec.overhead ?? {};
  if (Object.keys(given).length > 0 && !equalResources(given, wanted)) throw admissionForbidden(attributes, MISMATCH);
  spec.overhead = { ...wanted };
}

function setScheduling(attributes: AdmissionAttributes, found: RuntimeClass): void {
  const { spec } = attributes.object as Pod;
  if (spec === undefined || found.scheduling === undefined) return;
  const { nodeSelector = {}, tolerations = [] } = found.scheduling;
  for (const [key, value] of Object.entries(nodeSelector)) {
    const given = spec.nodeSelector?.[key];
    if (given !== undefined && given !== value) {
      throw admissionForbidden(
        attributes,
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${given}`,
      );
    }
  }
  if (Object.keys(nodeSelector).length > 0) spec.nodeSelector = { ...spec.nodeSelector, ...nodeSelector };
  const added = tolerations.filter((wider) => !(spec.tolerations ?? []).some((t) => isSuperset(t, wider)));
  if (added.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...structuredClone(added)];
}

/** Whether `a` tolerates all that `b` does. Source: k8s.io/kubernetes/pkg/util/tolerations */
export function isSuperset(a: Toleration, b: Toleration): boolean {
  const same = (x: string | undefined, y: string | undefined) => (x ?? "") === (y ?? "");
  const operator = (t: Toleration) => (t.operator === undefined || t.operator === "" ? "Equal" : t.operator);
  if ((a.key ?? "") !== "" && !same(a.key, b.key)) return false;
  if ((a.key ?? "") === "" && operator(a) !== "Exists") return false;
  if ((a.effect ?? "") !== "" && !same(a.effect, b.effect)) return false;
  if (a.effect === "NoExecute" && a.tolerationSeconds !== undefined) {
    if (b.tolerationSeconds === undefined || b.tolerationSeconds > a.tolerationSeconds) return false;
  }
  return operator(a) === "Exists" || (operator(b) === "Equal" && same(a.value, b.value));
}
