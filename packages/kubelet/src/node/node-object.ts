/** The Node object as this kubelet would have it. Pure. */
import type { Node, NodeStatus, Taint } from "@knarr/api/generated/types/core-v1.ts";
import type { Image } from "@knarr/cri/types.ts";
import type { Config } from "../config.ts";
import { parseTaint } from "../core/node-flags.ts";
import { nodeConditions } from "../core/node-status.ts";
import type { NodeState } from "./node-state.ts";

export const KUBELET_VERSION = "v1.36.0+knarr";
/** Source: pkg/kubelet/nodestatus, MaxNamesPerImageInNodeStatus */
const MAX_NAMES = 5;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export function architecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

export function nodeLabels(config: Config): Record<string, string> {
  return { ...defaultLabels(config), ...config.nodeLabels };
}

/** The labels that every kubelet keeps on its node, whatever the node was registered with. */
export function defaultLabels(config: Config): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": architecture(),
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture(),
    "kubernetes.io/hostname": config.nodeName,
    "kubernetes.io/os": "linux",
  };
}

const UNINITIALIZED: Taint = {
  key: "node.cloudprovider.kubernetes.io/uninitialized",
  value: "true",
  effect: "NoSchedule",
};

/** The object to register with. */
export function newNode(config: Config, status: NodeStatus): Node {
  const isCloud = config.cloudProvider === "external";
  const taints = [...config.registerWithTaints.map(parseTaint), ...(isCloud ? [UNINITIALIZED] : [])];
  const provided = isCloud && config.nodeIp !== "";
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: config.nodeName,
      labels: nodeLabels(config),
      annotations: {
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        ...(provided ? { "alpha.kubernetes.io/provided-node-ip": config.nodeIp } : {}),
      },
    },
    spec: {
      ...(taints.length === 0 ? {} : { taints }),
      ...(config.registerSchedulable ? {} : { unschedulable: true }),
      ...(config.providerId === "" ? {} : { providerID: config.providerId }),
    },
    status,
  };
}

export interface StatusInput {
  readonly config: Config;
  readonly state: NodeState;
  readonly images: readonly Image[];
  readonly port: number;
  readonly previous: NodeStatus;
  /** RFC 3339. */
  readonly now: string;
}

export function nodeStatus(input: StatusInput): NodeStatus {
  const { config, state } = input;
  const { machine } = state;
  const version = state.runtimeVersion;
  return {
    ...addressesOf(input),
    capacity: state.capacity,
    allocatable: state.allocatable,
    conditions: nodeConditions(
      { pressures: state.pressures, notReady: state.problems() },
      input.previous.conditions ?? [],
      input.now,
    ),
    daemonEndpoints: { kubeletEndpoint: { Port: input.port } },
    images: imagesOf(input.images, config.nodeStatusMaxImages),
    nodeInfo: {
      architecture: architecture(),
      bootID: machine.bootId,
      containerRuntimeVersion: version === undefined ? "" : `${version.runtimeName}://${version.runtimeVersion}`,
      kernelVersion: machine.kernelVersion,
      kubeProxyVersion: "",
      kubeletVersion: KUBELET_VERSION,
      machineID: machine.machineId,
      operatingSystem: "linux",
      osImage: machine.osImage,
      systemUUID: machine.systemUuid,
      ...(machine.swapBytes === 0 ? {} : { swap: { capacity: machine.swapBytes } }),
    },
    ...((state.runtimeStatus?.runtimeHandlers.length ?? 0) === 0
      ? {}
      : { runtimeHandlers: state.runtimeStatus?.runtimeHandlers.map((h) => ({ name: h.name, features: h.features })) }),
    features: { supplementalGroupsPolicy: state.runtimeStatus?.supplementalGroupsPolicy ?? false },
  };
}

/** Where a cloud provider tells the addresses, what it told stays. Source: pkg/kubelet/nodestatus/setters.go, NodeAddress */
function addressesOf({ config, state, previous }: StatusInput): Pick<NodeStatus, "addresses"> {
  if (config.cloudProvider === "external" && (previous.addresses?.length ?? 0) > 0) return {};
  return {
    addresses: [
      ...state.hostIps.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: config.nodeName },
    ],
  };
}

/** The largest first, each with at most five names. */
function imagesOf(images: readonly Image[], most: number): { names: string[]; sizeBytes: number }[] {
  return images
    .map((image) => ({
      names: [...image.repoDigests, ...image.repoTags].slice(0, MAX_NAMES),
      sizeBytes: image.sizeBytes,
    }))
    .filter((image) => image.names.length > 0)
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, most < 0 ? undefined : most);
}
