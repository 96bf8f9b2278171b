/** Creates pods and notes when what was seen of each. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Client } from "@knarr/client/client.ts";

/** Epoch milliseconds. */
export interface PodTimes {
  readonly createdMs: number;
  answeredMs: number;
  boundMs: number;
  readyMs: number;
}

export function benchPod(name: string): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: "bench" } },
    spec: {
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: "Exists" }],
      containers: [{ name: "main", image: "knarr.local/web:1", imagePullPolicy: "IfNotPresent" }],
    },
  };
}

/** Watches pods in the background; `start` creates one and resolves when it is Ready. */
export class PodWatch {
  readonly #client: Client;
  readonly #stop = new AbortController();
  readonly #times = new Map<string, PodTimes & { done: () => void }>();
  readonly #gone = new Map<string, () => void>();

  constructor(client: Client) {
    this.#client = client;
    this.#follow().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    for await (const event of this.#client.watch(core.pods, { namespace: "default", signal })) {
      const now = performance.timeOrigin + performance.now();
      const pod = event.object as Pod;
      const name = pod.metadata.name ?? "";
      if (event.type === "DELETED") {
        this.#gone.get(name)?.();
        this.#gone.delete(name);
        continue;
      }
      const times = this.#times.get(name);
      if (times === undefined) continue;
      if (times.boundMs === 0 && (pod.spec?.nodeName ?? "") !== "") times.boundMs = now;
      const ready = pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
      if (!ready || times.readyMs !== 0) continue;
      times.readyMs = now;
      times.done();
    }
  }

  async start(name: string): Promise<PodTimes> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const createdMs = performance.timeOrigin + performance.now();
    const times = { createdMs, answeredMs: 0, boundMs: 0, readyMs: 0, done: resolve };
    this.#times.set(name, times);
    await this.#client.create(core.pods, benchPod(name));
    times.answeredMs = performance.timeOrigin + performance.now();
    await promise;
    this.#times.delete(name);
    return times;
  }

  async remove(name: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gone.set(name, resolve);
    await this.#client.delete(core.pods, { namespace: "default", name }, { gracePeriodSeconds: 1 });
    await promise;
  }

  close(): void {
    this.#stop.abort();
  }
}
