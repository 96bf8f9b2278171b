/** What --node-labels and --register-with-taints may say. Pure. Source: cmd/kubelet/app/options, KEP-279 */

import type { Taint } from "@knarr/api/generated/types/core-v1.ts";
import { isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";

/** "key=value:effect" or "key:effect". Throws an Error for anything else. */
export function parseTaint(text: string): Taint {
  const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text);
  if (match === null) throw new Error(`invalid taint ${JSON.stringify(text)}: must be key=value:effect`);
  const value = match[2] ?? "";
  return { key: match[1] ?? "", ...(value === "" ? {} : { value }), effect: match[3] ?? "" };
}

const ALLOWED_PREFIXES = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const ALLOWED_LABELS = [
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/instance-type",
  "beta.kubernetes.io/os",
  "failure-domain.beta.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "kubernetes.io/arch",
  "kubernetes.io/hostname",
  "kubernetes.io/os",
  "node.kubernetes.io/instance-type",
  "topology.kubernetes.io/region",
  "topology.kubernetes.io/zone",
];

function isBelow(namespace: string, domain: string): boolean {
  return namespace === domain || namespace.endsWith(`.${domain}`);
}

/** Whether a kubelet may set the label on its node: what is Kubernetes' own must be made for that. */
function mayLabel(label: string): boolean {
  if (ALLOWED_LABELS.includes(label)) return true;
  const namespace = label.includes("/") ? label.slice(0, label.indexOf("/")) : "";
  if (!isBelow(namespace, "kubernetes.io") && !isBelow(namespace, "k8s.io")) return true;
  return ALLOWED_PREFIXES.some((prefix) => isBelow(namespace, prefix));
}

/** What is wrong with the labels, or undefined. */
export function labelComplaint(labels: Readonly<Record<string, string>>): string | undefined {
  const unknown = Object.keys(labels).filter((label) => !mayLabel(label));
  if (unknown.length > 0) {
    return (
      `unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [${unknown.toSorted().join(" ")}]; ` +
      `--node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix (${ALLOWED_PREFIXES.join(", ")}) ` +
      `or be in the specifically allowed set (${ALLOWED_LABELS.join(", ")})`
    );
  }
  for (const [label, value] of Object.entries(labels)) {
    const [wrong] = [...isQualifiedName(label), ...isLabelValue(value)];
    if (wrong !== undefined) return `--node-labels: ${label}=${value}: ${wrong}`;
  }
  return undefined;
}
