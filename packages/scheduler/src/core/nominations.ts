/**
 * Pods that are to get a node once the pods they preempt are gone. Others of lower priority must leave them the room.
 * Source: pkg/scheduler/backend/queue/nominator.go
 */
import type { PodInfo } from "./pod-info.ts";

export class Nominations {
  readonly #byNode = new Map<string, Map<string, PodInfo>>();
  readonly #nodeOf = new Map<string, string>();

  get isEmpty(): boolean {
    return this.#nodeOf.size === 0;
  }

  set(pod: PodInfo, nodeName: string): void {
    this.delete(pod.id);
    const pods = this.#byNode.get(nodeName) ?? new Map<string, PodInfo>();
    pods.set(pod.id, pod);
    this.#byNode.set(nodeName, pods);
    this.#nodeOf.set(pod.id, nodeName);
  }

  delete(id: string): void {
    const nodeName = this.#nodeOf.get(id);
    if (nodeName === undefined) return;
    this.#nodeOf.delete(id);
    const pods = this.#byNode.get(nodeName);
    pods?.delete(id);
    if (pods?.size === 0) this.#byNode.delete(nodeName);
  }

  nodeOf(id: string): string | undefined {
    return this.#nodeOf.get(id);
  }

  on(nodeName: string): Iterable<PodInfo> {
    return this.#byNode.get(nodeName)?.values() ?? [];
  }
}
