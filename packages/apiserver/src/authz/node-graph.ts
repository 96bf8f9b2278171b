/**
 * Which node may read which object, kept up to date by views:
 *
 *   node <- pod <- secret, configmap, serviceaccount, resourceclaim
 *   node <- pod <- pvc <- pv <- secret        node <- volumeattachment        node <- resourceslice
 *
 * Edges from pods are counted per node, so that the last pod to go takes the right with it. Questions are look-ups, not walks.
 */
import type { PersistentVolume, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ResourceSlice } from "@knarr/api/generated/types/resource-v1.ts";
import type { VolumeAttachment } from "@knarr/api/generated/types/storage-v1.ts";
import type { ObjectView } from "../storage/types.ts";
import { podReferences, type ReferencedKind, referenceId, volumeReferences } from "./pod-references.ts";

/** What the graph keeps of a pod. */
export interface PodEdges {
  readonly nodeName: string;
  readonly references: readonly string[];
}

/** What it keeps of a volume. */
export interface VolumeEdges {
  readonly name: string;
  /** The claim as a reference id; "" for none. */
  readonly claim: string;
  readonly secrets: readonly string[];
}

/** An object with the node that it names. */
export interface OwnedByNode {
  readonly name: string;
  readonly nodeName: string;
}

export interface NodeGraphViews {
  readonly pods: ObjectView<PodEdges>;
  readonly volumes: ObjectView<VolumeEdges>;
  readonly attachments: ObjectView<OwnedByNode>;
  readonly slices: ObjectView<OwnedByNode>;
}

/** Projections for the views: what is kept of each object. */
export const podEdges = (object: unknown): PodEdges => {
  const pod = object as Pod;
  const nodeName = pod.spec?.nodeName ?? "";
  return { nodeName, references: nodeName === "" ? [] : podReferences(pod) };
};
const NODE_NAME = Buffer.from('"nodeName"');
const NO_EDGES: PodEdges = Object.freeze({ nodeName: "", references: [] });
/** A pod that names no node has no edges, and need not be parsed to see that. Owners of the field are written "f:nodeName". */
export const unscheduled = (bytes: Buffer): PodEdges | undefined => (bytes.includes(NODE_NAME) ? undefined : NO_EDGES);
export const volumeEdges = (object: unknown): VolumeEdges => {
  const volume = object as PersistentVolume;
  const ref = volume.spec?.claimRef;
  return {
    name: volume.metadata.name ?? "",
    claim: ref === undefined ? "" : referenceId("pvc", ref.namespace ?? "", ref.name ?? ""),
    secrets: volumeReferences(volume),
  };
};
export const attachmentOwner = (object: unknown): OwnedByNode => {
  const attachment = object as VolumeAttachment;
  return { name: attachment.metadata.name ?? "", nodeName: attachment.spec.nodeName };
};
export const sliceOwner = (object: unknown): OwnedByNode => {
  const slice = object as ResourceSlice;
  return { name: slice.metadata.name ?? "", nodeName: slice.spec.nodeName ?? "" };
};

export class NodeGraph {
  readonly #views: NodeGraphViews;
  /** node -> reference id -> number of its pods that hold it. */
  readonly #references = new Map<string, Map<string, number>>();
  /** Secret (reference id) -> claims whose volumes need it -> how many volumes. */
  readonly #secretClaims = new Map<string, Map<string, number>>();

  constructor(views: NodeGraphViews) {
    this.#views = views;
    views.pods.subscribe({
      set: (pod, previous) => {
        if (previous !== undefined) this.#countPod(previous, -1);
        this.#countPod(pod, 1);
      },
      deleted: (pod) => this.#countPod(pod, -1),
      reset: () => this.#references.clear(),
    });
    views.volumes.subscribe({
      set: (volume, previous) => {
        if (previous !== undefined) this.#countVolume(previous, -1);
        this.#countVolume(volume, 1);
      },
      deleted: (volume) => this.#countVolume(volume, -1),
      reset: () => this.#secretClaims.clear(),
    });
  }

  get synced(): boolean {
    const { pods, volumes, attachments, slices } = this.#views;
    return pods.synced && volumes.synced && attachments.synced && slices.synced;
  }

  /** Whether one of the node's pods refers to the object, directly or through a claim and its volume. */
  hasReference(nodeName: string, kind: ReferencedKind, namespace: string, name: string): boolean {
    const id = referenceId(kind, namespace, name);
    const references = this.#references.get(nodeName);
    if (references === undefined) return false;
    if (references.has(id)) return true;
    if (kind !== "secret") return false;
    for (const claim of this.#secretClaims.get(id)?.keys() ?? []) if (references.has(claim)) return true;
    return false;
  }

  hasVolume(nodeName: string, name: string): boolean {
    const claim = this.#views.volumes.get({ namespace: "", name })?.claim ?? "";
    return claim !== "" && (this.#references.get(nodeName)?.has(claim) ?? false);
  }

  hasAttachment(nodeName: string, name: string): boolean {
    return this.#views.attachments.get({ namespace: "", name })?.nodeName === nodeName;
  }

  hasSlice(nodeName: string, name: string): boolean {
    return this.#views.slices.get({ namespace: "", name })?.nodeName === nodeName;
  }

  #countPod(pod: PodEdges, by: 1 | -1): void {
    if (pod.nodeName === "") return;
    for (const id of pod.references) count(this.#references, pod.nodeName, id, by);
  }

  #countVolume(volume: VolumeEdges, by: 1 | -1): void {
    if (volume.claim === "") return;
    for (const secret of volume.secrets) count(this.#secretClaims, secret, volume.claim, by);
  }
}

function count(counts: Map<string, Map<string, number>>, outer: string, inner: string, by: 1 | -1): void {
  let group = counts.get(outer);
  if (group === undefined) {
    group = new Map();
    counts.set(outer, group);
  }
  const next = (group.get(inner) ?? 0) + by;
  if (next > 0) group.set(inner, next);
  else group.delete(inner);
  if (group.size === 0) counts.delete(outer);
}
