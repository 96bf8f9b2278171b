/** Hints that don't refuse a pod. Source: k8s.io/kubernetes/pkg/api/pod/warnings.go */
import { isDns1123Label } from "@knarr/apimachinery/name-validation.ts";
import type { Container, Pod, PodSpec } from "../../generated/types/core-v1.ts";

const deprecatedNodeLabels: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
  "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

function containerWarnings(path: string, container: Container): string[] {
  const warnings: string[] = [];
  const names = new Set<string>();
  for (const [i, variable] of (container.env ?? []).entries()) {
    if (names.has(variable.name)) {
      const hides = `hides previous definition of ${JSON.stringify(variable.name)}`;
      warnings.push(`${path}.env[${i}]: ${hides}, which may be dropped when using apply`);
    }
    names.add(variable.name);
  }
  const ports = new Map<string, number>();
  for (const [i, port] of (container.ports ?? []).entries()) {
    const key = `${port.protocol ?? "TCP"}/${port.containerPort}`;
    const other = ports.get(key);
    if (other !== undefined && (port.hostPort ?? 0) === 0) {
      warnings.push(`${path}.ports[${i}]: duplicate port definition with ${path}.ports[${other}]`);
    }
    ports.set(key, i);
  }
  return warnings;
}

/** `path` is "spec" or "spec.template.spec". */
export function podSpecWarnings(path: string, spec: PodSpec): string[] {
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {}).sort()) {
    const text = deprecatedNodeLabels[key];
    if (text !== undefined) warnings.push(`${path}.nodeSelector[${key}]: ${text}`);
  }
  for (const [i, volume] of (spec.volumes ?? []).entries()) {
    if (volume.gitRepo !== undefined) {
      warnings.push(`${path}.volumes[${i}].gitRepo: deprecated in v1.11, and disabled by default in v1.33+`);
    }
  }
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    warnings.push(...containerWarnings(`${path}.initContainers[${i}]`, container));
  }
  for (const [i, container] of (spec.containers ?? []).entries()) {
    warnings.push(...containerWarnings(`${path}.containers[${i}]`, container));
  }
  if (spec.terminationGracePeriodSeconds !== undefined && spec.terminationGracePeriodSeconds < 0) {
    warnings.push(
      `${path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
    );
  }
  return warnings;
}

export function podWarnings(pod: Pod): string[] {
  const problems = isDns1123Label(pod.metadata.name ?? "");
  const named =
    problems.length === 0
      ? []
      : [
          "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; " +
            `a DNS label is recommended: [${problems.join(" ")}]`,
        ];
  return [...named, ...(pod.spec === undefined ? [] : podSpecWarnings("spec", pod.spec))];
}
