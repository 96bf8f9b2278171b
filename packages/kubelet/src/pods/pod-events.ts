/** Events about a pod and its containers, with the field path that says which container is meant. */
import type { ObjectReference, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { ContainerKind } from "../core/pod-actions.ts";

export type EventType = "Normal" | "Warning";
/** Records an event about one container. */
export type ContainerEvent = (type: EventType, reason: string, message: string) => void;

/** What records events; @knarr/client's EventRecorder is one. */
export interface EventSink {
  event(about: ObjectReference, type: EventType, reason: string, message: string): void;
}

function referenceOf(pod: Pod): ObjectReference {
  const { name = "", namespace = "", uid = "", resourceVersion } = pod.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    name,
    namespace,
    // A static pod is known to the API by its mirror's name; its own UID is the kubelet's.
    uid,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

const FIELDS: Readonly<Record<ContainerKind, string>> = {
  init: "initContainers",
  container: "containers",
  ephemeral: "ephemeralContainers",
};

export class PodEvents {
  readonly #sink: EventSink;

  constructor(sink: EventSink) {
    this.#sink = sink;
  }

  pod(pod: Pod, type: EventType, reason: string, message: string): void {
    this.#sink.event(referenceOf(pod), type, reason, message);
  }

  container(pod: Pod, kind: ContainerKind, name: string): ContainerEvent {
    const about = { ...referenceOf(pod), fieldPath: `spec.${FIELDS[kind]}{${name}}` };
    return (type, reason, message) => this.#sink.event(about, type, reason, message);
  }
}

/** Which of a pod's lists a container is in. */
export function kindOf(pod: Pod, name: string): ContainerKind {
  if (pod.spec?.initContainers?.some((c) => c.name === name) === true) return "init";
  return pod.spec?.ephemeralContainers?.some((c) => c.name === name) === true ? "ephemeral" : "container";
}
