/**
 * Pods and nodes with only what scheduling looks at, because a scheduler holds all of them: environments, probes, mounts
 * and statuses of containers are most of a pod. What pods of one template have in common is one object.
 *
 * A field that a plugin is to read must be named here.
 */
import type {
  Container,
  ContainerStatus,
  Node,
  Pod,
  PodCondition,
  PodSpec,
} from "@knarr/api/generated/types/core-v1.ts";

/**
 * Parts of templates by their JSON, in two generations: what was not asked for while as many others came is forgotten.
 * Large parts (the images of a node) have texts that would cost more than sharing saves.
 */
let young = new Map<string, unknown>();
let old = new Map<string, unknown>();
const GENERATION = 2000;
const MAX_TEXT = 4000;

function share<T>(value: T): T {
  if (value === undefined) return value;
  const key = JSON.stringify(value);
  if (key.length > MAX_TEXT) return value;
  const known = young.get(key) as T | undefined;
  if (known !== undefined) return known;
  const kept = (old.get(key) as T | undefined) ?? value;
  if (young.size >= GENERATION) {
    old = young;
    young = new Map();
  }
  young.set(key, kept);
  return kept;
}

export function slimPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  const { name, namespace, uid, labels, resourceVersion, generation, ownerReferences, deletionTimestamp } = metadata;
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      generation,
      deletionTimestamp,
      labels: share(labels),
      ownerReferences: share(ownerReferences?.filter(({ controller }) => controller === true)),
    },
    spec: spec && { ...share(templateOf(spec)), nodeName: spec.nodeName },
    status:
      status &&
      share({
        phase: status.phase,
        startTime: status.startTime,
        nominatedNodeName: status.nominatedNodeName,
        conditions: status.conditions?.filter(isOfInterest),
        containerStatuses: status.containerStatuses?.map(slimStatus),
        initContainerStatuses: status.initContainerStatuses?.map(slimStatus),
      }),
  };
}

function templateOf(spec: PodSpec): PodSpec {
  return {
    nodeName: undefined,
    schedulerName: spec.schedulerName,
    priority: spec.priority,
    preemptionPolicy: spec.preemptionPolicy,
    nodeSelector: spec.nodeSelector,
    affinity: spec.affinity,
    tolerations: spec.tolerations,
    topologySpreadConstraints: spec.topologySpreadConstraints,
    overhead: spec.overhead,
    resources: spec.resources,
    resourceClaims: spec.resourceClaims,
    schedulingGates: spec.schedulingGates,
    containers: spec.containers.map(slimContainer),
    initContainers: spec.initContainers?.map(slimContainer),
    volumes: spec.volumes?.filter(
      ({ projected, configMap, secret, emptyDir, downwardAPI }) =>
        (projected ?? configMap ?? secret ?? emptyDir ?? downwardAPI) === undefined,
    ),
  };
}

const CONDITIONS = new Set(["DisruptionTarget", "PodResizePending"]);

/** That a pod was scheduled says nothing new; why it was not is compared with what is to be written. */
function isOfInterest({ type, status }: PodCondition): boolean {
  return CONDITIONS.has(type) || (type === "PodScheduled" && status === "False");
}

function slimContainer({ name, image, resources, ports, restartPolicy }: Container): Container {
  return { name, image, resources, ports, restartPolicy };
}

/** The parts that the type requires and nobody here reads are given as unset. */
function slimStatus({ name, allocatedResources, resources }: ContainerStatus): ContainerStatus {
  return { name, allocatedResources, resources, image: "", imageID: "", ready: false, restartCount: 0 };
}

export function slimNode(node: Node): Node {
  const { metadata, spec, status } = node;
  const { name, uid, labels, annotations, resourceVersion, deletionTimestamp } = metadata;
  return {
    apiVersion: node.apiVersion,
    kind: node.kind,
    metadata: { name, uid, labels, annotations: share(annotations), resourceVersion, deletionTimestamp },
    spec: spec && share({ unschedulable: spec.unschedulable, taints: spec.taints }),
    status: status && {
      allocatable: share(status.allocatable),
      images: status.images?.map(share),
      conditions: share(status.conditions?.map(({ type, status: state }) => ({ type, status: state }))),
    },
  };
}
