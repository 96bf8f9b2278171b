/** Values that a pod's environment and downward API volumes take from the pod itself. Pure. */

import type { Container, ObjectFieldSelector, Pod, ResourceFieldSelector } from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { ContainerConfigError } from "./config-error.ts";

/** What a field may name besides the stored pod: addresses known only on this node. */
export interface PodFacts {
  readonly pod: Pod;
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
  /** Of the node, for limits that a container does not set. */
  readonly allocatable: Readonly<Record<string, string>>;
}

const SUBSCRIPT = /^metadata\.(labels|annotations)\['(.*)'\]$/;

/** `key="value"` lines, sorted, quoted as Go quotes. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** The value of a fieldRef. Throws ContainerConfigError for a path that is no field. */
export function podField(facts: PodFacts, selector: ObjectFieldSelector): string {
  const { pod } = facts;
  const subscript = SUBSCRIPT.exec(selector.fieldPath);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (selector.fieldPath) {
    case "metadata.name":
      return pod.metadata.name ?? "";
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return pod.spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return pod.spec?.serviceAccountName ?? "";
    case "status.hostIP":
      return facts.hostIps[0] ?? "";
    case "status.hostIPs":
      return facts.hostIps.join(",");
    case "status.podIP":
      return facts.podIps[0] ?? "";
    case "status.podIPs":
      return facts.podIps.join(",");
    default:
      throw new ContainerConfigError(`unsupported fieldPath: ${selector.fieldPath}`);
  }
}

/** The value of a resourceFieldRef: whole units of the divisor, rounded up. */
export function resourceField(facts: PodFacts, selector: ResourceFieldSelector, own: Container | undefined): string {
  const container =
    selector.containerName === undefined || selector.containerName === ""
      ? own
      : [...(facts.pod.spec?.initContainers ?? []), ...(facts.pod.spec?.containers ?? [])].find(
          (c) => c.name === selector.containerName,
        );
  if (container === undefined) throw new ContainerConfigError(`container ${selector.containerName ?? ""} not found`);
  const [kind, ...rest] = selector.resource.split(".");
  const name = rest.join(".");
  if ((kind !== "limits" && kind !== "requests") || name === "") {
    throw new ContainerConfigError(`unsupported container resource : ${selector.resource}`);
  }
  const fromNode = kind === "limits" ? facts.allocatable[name] : undefined;
  const quantity = String(container.resources?.[kind]?.[name] ?? fromNode ?? "0");
  const divisor = String(selector.divisor ?? "0");
  if (name === "cpu") {
    const divisorMillis = divisor === "0" ? 1000 : cpuMillis(divisor);
    return String(Math.ceil(cpuMillis(quantity) / divisorMillis));
  }
  return String(Math.ceil(quantityValue(quantity) / (divisor === "0" ? 1 : quantityValue(divisor))));
}
