/** What a kind of volume is to the kubelet. One kind per file; index.ts lists them. */
import type { ConfigMap, Pod, Secret, Volume } from "@knarr/api/generated/types/core-v1.ts";
import type { PodFacts } from "../core/pod-fields.ts";

/** What volumes and environments need from the API. Answers come from caches where they can. */
export interface PodInputs {
  /** undefined when it does not exist. */
  configMap(pod: Pod, name: string): Promise<ConfigMap | undefined>;
  secret(pod: Pod, name: string): Promise<Secret | undefined>;
  /** A token of the pod's ServiceAccount, bound to the pod; renewed before it runs out. */
  serviceAccountToken(pod: Pod, audience: string, expirationSeconds: number): Promise<string>;
}

export interface VolumeContext {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly inputs: PodInputs;
}

export interface VolumeKind {
  /** "kubernetes.io~configmap": the folder below a pod's volumes. */
  readonly folder: string;
  matches(volume: Volume): boolean;
  /**
   * Makes the volume's folder right and returns the path to mount; called again to bring changes into running pods, so
   * it must be idempotent. `directory` is the volume's own folder, which does not exist at first.
   */
  setUp(volume: Volume, directory: string, context: VolumeContext): Promise<string>;
}

/** The volume can't be set up now; tried again later. The message is shown in a FailedMount event. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
}
