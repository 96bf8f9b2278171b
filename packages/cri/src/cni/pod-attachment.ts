/** What a pod asks of its network: the arguments and capabilities of its attachment. Pure. */
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import type { SandboxConfig } from "../types.ts";

export const POD_INTERFACE = "eth0";

/** Source: containerd's and dockershim's CNI_ARGS */
export function cniArgs(config: SandboxConfig, sandboxId: string): Record<string, string> {
  const { name, namespace, uid } = config.metadata;
  return {
    IgnoreUnknown: "1",
    K8S_POD_NAMESPACE: namespace,
    K8S_POD_NAME: name,
    K8S_POD_INFRA_CONTAINER_ID: sandboxId,
    K8S_POD_UID: uid,
  };
}

/** Bursts are not limited. */
const MAX_INT32 = 2 ** 31 - 1;
/** Source: upstream's pkg/util/bandwidth: 1k to 1P bits per second */
const MIN_RATE = 1000;
const MAX_RATE = 1e15;

function rateOf(annotations: Readonly<Record<string, string>>, name: string): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const rate = quantityValue(text);
  if (rate < MIN_RATE) throw new Error(`resource value of ${name} is unreasonably small (< 1kbit)`);
  if (rate > MAX_RATE) throw new Error(`resource value of ${name} is unreasonably large (> 1Pbit)`);
  return rate;
}

/** Throws an Error for a bandwidth that is none. */
export function cniCapabilities(config: SandboxConfig): Record<string, unknown> {
  const annotations = config.annotations ?? {};
  const ingress = rateOf(annotations, "kubernetes.io/ingress-bandwidth");
  const egress = rateOf(annotations, "kubernetes.io/egress-bandwidth");
  const bandwidth = {
    ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: MAX_INT32 }),
    ...(egress === undefined ? {} : { egressRate: egress, egressBurst: MAX_INT32 }),
  };
  const ports = (config.portMappings ?? []).filter((port) => port.hostPort > 0);
  const { dnsConfig } = config;
  return {
    ...(ports.length === 0
      ? {}
      : {
          portMappings: ports.map(({ hostPort, containerPort, protocol, hostIp }) => ({
            hostPort,
            containerPort,
            protocol: protocol.toLowerCase(),
            ...(hostIp === "" ? {} : { hostIP: hostIp }),
          })),
        }),
    ...(Object.keys(bandwidth).length === 0 ? {} : { bandwidth }),
    ...(dnsConfig === undefined ? {} : { dns: dnsConfig }),
  };
}
