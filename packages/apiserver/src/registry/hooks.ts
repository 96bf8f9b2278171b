/** Which kinds differ from the default strategy by more than their descriptor, and how. */
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ResourceStorage } from "../storage/types.ts";
import { certificateSigningRequestHooks } from "./certificate-signing-requests.ts";
import type { ClusterIps } from "./cluster-ips.ts";
import { namespaceHooks } from "./namespaces.ts";
import type { NodePorts } from "./node-ports.ts";
import { persistentVolumeHooks } from "./persistent-volumes.ts";
import type { ResourceHooks } from "./resource.ts";
import { serviceHooks } from "./services.ts";

export interface HookTools {
  readonly ips: ClusterIps;
  readonly ports: NodePorts;
  /** Where Services lie. */
  readonly services: () => ResourceStorage;
  readonly clock: Clock;
  /** RBAC's escalation checks. */
  readonly rbac: (ref: ResourceRef<unknown>) => ResourceHooks | undefined;
}

export function hooksFor(ref: ResourceRef<unknown>, tools: HookTools): ResourceHooks {
  const name = `${ref.group}/${ref.resource}`;
  if (name === "/services") return serviceHooks(tools);
  if (name === "/namespaces") return namespaceHooks;
  if (name === "/persistentvolumes") return persistentVolumeHooks(tools.clock);
  if (name === "certificates.k8s.io/certificatesigningrequests") return certificateSigningRequestHooks;
  const rbac = tools.rbac(ref);
  if (rbac !== undefined) return rbac;
  return {};
}
