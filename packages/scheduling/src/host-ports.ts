/**
 * Host ports that a pod occupies on its node. Source: pkg/scheduler/framework (HostPortInfo)
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

const NONE: readonly HostPort[] = [];
const ANY_IP = "0.0.0.0";

/** The host ports of containers and sidecars; hostNetwork pods have theirs set by defaulting. */
export function hostPortsOf(pod: Pod): readonly HostPort[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  const containers = [...(pod.spec?.containers ?? []), ...sidecars];
  if (!containers.some(({ ports }) => ports?.some((p) => (p.hostPort ?? 0) > 0))) return NONE;
  return containers.flatMap((container) =>
    (container.ports ?? [])
      .filter((p) => (p.hostPort ?? 0) > 0)
      .map((p) => ({
        ip: p.hostIP === undefined || p.hostIP === "" ? ANY_IP : p.hostIP,
        protocol: p.protocol === undefined || p.protocol === "" ? "TCP" : p.protocol,
        port: p.hostPort ?? 0,
      })),
  );
}

/** Same port and protocol clash on equal addresses, and whenever one of the two is bound to all addresses. */
export function hostPortsConflict(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === ANY_IP || b.ip === ANY_IP);
}
