/** What a kind of volume is to the kubelet. One kind per file; index.ts lists them. */
import type {
  ConfigMap,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Volume,
} from "@knarr/api/generated/types/core-v1.ts";
import type { PodFacts } from "../core/pod-fields.ts";

/** What volumes and environments need from the API. Answers come from caches where they can. */
export interface PodInputs {
  /** undefined when it does not exist. */
  configMap(pod: Pod, name: string): Promise<ConfigMap | undefined>;
  secret(pod: Pod, name: string): Promise<Secret | undefined>;
  /** A token of the pod's ServiceAccount, bound to the pod; renewed before it runs out. */
  serviceAccountToken(pod: Pod, audience: string, expirationSeconds: number): Promise<string>;
  /** As the server has it now; throws what the server answers. */
  claim(pod: Pod, name: string): Promise<PersistentVolumeClaim>;
  persistentVolume(pod: Pod, name: string): Promise<PersistentVolume>;
  /** This node as the API has it; undefined when that is not known. */
  node(): Node | undefined;
}

export interface VolumeContext {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly inputs: PodInputs;
  /** The kubelet's root folder, and in it the folder of the pod's volumes. */
  readonly rootDir: string;
  readonly volumesDirectory: string;
  /** The pod is to end: what is under way is given up. */
  readonly signal?: AbortSignal | undefined;
}

export interface MountedVolume {
  /** The path on the node; "" for an image, which the runtime mounts. */
  readonly path: string;
  /** Containers can't write to it, whatever their mounts say. */
  readonly readOnly: boolean;
  /** What is in it is the pod's alone. */
  readonly ownsData?: boolean;
  /** The runtime is to mount this image. */
  readonly image?: { readonly reference: string; readonly pullPolicy: string | undefined };
}

export interface VolumeKind {
  /** "kubernetes.io~configmap": the folder below a pod's volumes. */
  readonly folder: string;
  /** What is in the folder is the pod's alone and goes with it; else only mount points are there, never removed with what is in them. */
  readonly ownsData: boolean;
  matches(volume: Volume): boolean;
  /**
   * Makes the volume's folder right and returns what to mount; called again to bring changes into running pods, so
   * it must be idempotent. `directory` is the volume's own folder, which does not exist at first.
   */
  setUp(volume: Volume, directory: string, context: VolumeContext): Promise<MountedVolume>;
}

export interface VolumeErrorOptions {
  /** What failed, as upstream calls it. */
  readonly stage?: string;
  /** The persistent volume's name, where it is not the name in the pod. */
  readonly volume?: string;
}

/** The volume can't be set up now; tried again later. The message is shown in a FailedMount event. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
  readonly stage: string;
  readonly volume: string | undefined;
  constructor(message: string, options: VolumeErrorOptions = {}) {
    super(message);
    this.stage = options.stage ?? "MountVolume.SetUp failed";
    this.volume = options.volume;
  }
}

/** It can't be said yet what the volume is: its claim is missing, or not bound. */
export class UnprocessedVolumeError extends Error {
  override readonly name = "UnprocessedVolumeError";
}
