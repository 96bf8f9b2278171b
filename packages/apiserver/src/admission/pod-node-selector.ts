/**
 * Pods run only on the nodes that their namespace is meant for.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/podnodeselector
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { isJsonObject, type JsonObject } from "@knarr/apimachinery/schema.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { AdmissionConfigurationError } from "./admission-configuration.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
  isFor,
} from "./plugin.ts";

const ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector";
const NAME = "PodNodeSelector";
type Labels = Readonly<Record<string, string>>;

/** The configuration: selectors by namespace (a whitelist), and clusterDefaultNodeSelector for namespaces without one. */
export function createPodNodeSelector(document: JsonObject | undefined): AdmissionPlugin {
  const given = document?.podNodeSelectorPluginConfig ?? {};
  if (!isJsonObject(given)) {
    throw new AdmissionConfigurationError(`configuration of ${NAME}: podNodeSelectorPluginConfig must be an object`);
  }
  const selectors = new Map<string, Labels>();
  for (const [name, text] of Object.entries(given)) {
    const labels = parseLabels(String(text));
    if (labels === undefined) {
      throw new AdmissionConfigurationError(`configuration of ${NAME}: ${name}: not a list of key=value: ${text}`);
    }
    selectors.set(name, labels);
  }
  const applies = (attributes: AdmissionAttributes) =>
    attributes.operation === "CREATE" && isFor(attributes, core.pods) && attributes.object !== undefined;
  return {
    name: NAME,
    async admit(attributes, env) {
      if (!applies(attributes)) return;
      const wanted = await namespaceSelector(attributes, env, selectors);
      const { spec } = attributes.object as Pod;
      if (spec === undefined || Object.keys(wanted).length === 0) return;
      refuseConflict(attributes, wanted);
      spec.nodeSelector = { ...spec.nodeSelector, ...wanted };
    },
    async validate(attributes, env) {
      if (!applies(attributes)) return;
      refuseConflict(attributes, await namespaceSelector(attributes, env, selectors));
      const whitelist = selectors.get(attributes.namespace);
      if (whitelist === undefined) return;
      const chosen = Object.entries((attributes.object as Pod).spec?.nodeSelector ?? {});
      if (chosen.every(([key, value]) => whitelist[key] === value)) return;
      throw admissionForbidden(attributes, "pod node label selector labels conflict with its namespace whitelist");
    },
  };
}

async function namespaceSelector(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  selectors: ReadonlyMap<string, Labels>,
): Promise<Labels> {
  const key = { namespace: "", name: attributes.namespace };
  const namespace =
    (await env.lookup.get(core.namespaces, key)) ?? (await env.lookup.get(core.namespaces, key, { live: true }));
  if (namespace === undefined) throw statusErrors.notFound({ group: "", resource: "namespaces" }, key.name);
  const text = namespace.metadata.annotations?.[ANNOTATION];
  if (text === undefined) return selectors.get("clusterDefaultNodeSelector") ?? {};
  const labels = parseLabels(text);
  if (labels === undefined) throw admissionForbidden(attributes, `invalid selector: ${JSON.stringify(text)}`);
  return labels;
}

function refuseConflict(attributes: AdmissionAttributes, wanted: Labels): void {
  const chosen = (attributes.object as Pod).spec?.nodeSelector ?? {};
  const conflicts = Object.entries(wanted).some(([key, value]) => chosen[key] !== undefined && chosen[key] !== value);
  if (!conflicts) return;
  throw admissionForbidden(attributes, "pod node label selector conflicts with its namespace node label selector");
}

/** "a=b, c=d"; undefined when it is something else. Source: labels.ConvertSelectorToLabelsMap */
function parseLabels(text: string): Labels | undefined {
  const labels: Record<string, string> = {};
  for (const part of text === "" ? [] : text.split(",")) {
    const [key, value, ...more] = part.split("=");
    if (key === undefined || key.trim() === "" || value === undefined || more.length > 0) return undefined;
    labels[key.trim()] = value.trim();
  }
  return labels;
}
