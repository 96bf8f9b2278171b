/** The Node object as this kubelet would have it. Pure. */
import type { Node, NodeCondition, NodeStatus, Taint } from "@knarr/api/generated/types/core-v1.ts";
import type { Image } from "@knarr/cri/types.ts";
import type { Config } from "../config.ts";
import { nodeCapacity, nodeConditions } from "../core/node-status.ts";
import type { NodeState } from "./node-state.ts";

export const KUBELET_VERSION = "v1.36.0+knarr";
const MAX_IMAGES = 50;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export function architecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

/** "key=value:effect" or "key:effect". Throws an Error for anything else. */
export function parseTaint(text: string): Taint {
  const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text);
  if (match === null) throw new Error(`invalid taint ${JSON.stringify(text)}: must be key=value:effect`);
  const value = match[2] ?? "";
  return { key: match[1] ?? "", ...(value === "" ? {} : { value }), effect: match[3] ?? "" };
}

export function nodeLabels(config: Config): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": architecture(),
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture(),
    "kubernetes.io/hostname": config.nodeName,
    "kubernetes.io/os": "linux",
    ...config.nodeLabels,
  };
}

/** The object to register with. */
export function newNode(config: Config, status: NodeStatus): Node {
  const taints = config.registerWithTaints.map(parseTaint);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: config.nodeName,
      labels: nodeLabels(config),
      annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
    },
    spec: taints.length === 0 ? {} : { taints },
    status,
  };
}

export interface StatusInput {
  readonly config: Config;
  readonly state: NodeState;
  readonly images: readonly Image[];
  readonly port: number;
  readonly previous: readonly NodeCondition[];
  /** RFC 3339. */
  readonly now: string;
}

export function nodeStatus(input: StatusInput): NodeStatus {
  const { config, state } = input;
  const { machine, usage } = state;
  const version = state.runtimeVersion;
  return {
    addresses: [
      ...state.hostIps.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: config.nodeName },
    ],
    capacity: nodeCapacity({ ...machine, diskTotalBytes: usage.diskTotalBytes }, config.maxPods),
    allocatable: state.allocatable,
    conditions: nodeConditions({ pressures: state.pressures, notReady: state.problems() }, input.previous, input.now),
    daemonEndpoints: { kubeletEndpoint: { Port: input.port } },
    images: imagesOf(input.images),
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
    },
    ...((state.runtimeStatus?.runtimeHandlers.length ?? 0) === 0
      ? {}
      : { runtimeHandlers: state.runtimeStatus?.runtimeHandlers.map((h) => ({ name: h.name, features: h.features })) }),
    features: { supplementalGroupsPolicy: state.runtimeStatus?.supplementalGroupsPolicy ?? false },
  };
}

function imagesOf(images: readonly Image[]): { names: string[]; sizeBytes: number }[] {
  return images
    .map((image) => ({ names: [...image.repoDigests, ...image.repoTags].slice(0, 5), sizeBytes: image.sizeBytes }))
    .filter((image) => image.names.length > 0)
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, MAX_IMAGES);
}
