/**
 * Static pods: manifests in a folder, read again when it changes and every --file-check-frequency. A file that can't be
 * read as a pod is reported and left out; the pods of the others stay.
 */
import { createHash } from "node:crypto";
import { watch } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { parse as parseYaml } from "yaml";
import { MIRROR_ANNOTATION, type PodSink } from "./api-source.ts";

export const HASH_ANNOTATION = "kubernetes.io/config.hash";

export interface StaticPodsOptions {
  readonly directory: string;
  readonly nodeName: string;
  readonly periodMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sink: PodSink;
}

/** The pod of a manifest, as this node runs it. Throws an Error for what is no pod. */
export function staticPod(text: string, path: string, nodeName: string, seen: string): Pod {
  const pod = parseYaml(text) as Pod | null;
  if (pod?.kind !== "Pod" || (pod.spec?.containers?.length ?? 0) === 0)
    throw new Error("must be a Pod with containers");
  const { name = "" } = pod.metadata ?? {};
  if (name === "") throw new Error("metadata.name is required");
  const uid = createHash("md5").update(`${nodeName}\n${path}\n${text}`).digest("hex");
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      name: `${name}-${nodeName}`,
      namespace: pod.metadata.namespace ?? "default",
      uid,
      annotations: {
        ...pod.metadata.annotations,
        [HASH_ANNOTATION]: uid,
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.seen": seen,
      },
    },
    spec: {
      ...pod.spec,
      containers: pod.spec?.containers ?? [],
      nodeName,
      tolerations: [...(pod.spec?.tolerations ?? []), { operator: "Exists", effect: "NoExecute" }],
    },
    status: { phase: "Pending" },
  };
}

export class StaticPods {
  readonly #options: StaticPodsOptions;
  readonly #pods = new Map<string, Pod>();
  /** The pod of each manifest, by its path. */
  readonly #manifests = new Map<string, Pod>();
  #synced = false;

  constructor(options: StaticPodsOptions) {
    this.#options = options;
  }

  /** Whether the folder was read at least once. */
  get synced(): boolean {
    return this.#synced;
  }

  list(): Pod[] {
    return [...this.#pods.values()];
  }

  async run(signal: AbortSignal): Promise<void> {
    const { directory, periodMs, clock, log } = this.#options;
    while (!signal.aborted) {
      const changed = Promise.withResolvers<void>();
      const watcher = this.#watch(directory, changed.resolve);
      try {
        await this.#read();
        this.#synced = true;
      } catch (error) {
        log.error({ err: error, directory }, "static pod folder not read");
      }
      const pause = AbortSignal.any([signal]);
      await Promise.race([changed.promise, clock.sleep(periodMs, pause).catch(() => undefined)]);
      watcher?.close();
    }
  }

  #watch(directory: string, onChange: () => void) {
    try {
      return watch(directory, onChange);
    } catch (error) {
      // Not there, or no watches left: the period does.
      this.#options.log.debug({ err: error, directory }, "static pod folder not watched");
      return undefined;
    }
  }

  async #read(): Promise<void> {
    const { directory, nodeName, clock, log, sink } = this.#options;
    const names = (await readdir(directory)).filter((name) => !name.startsWith("."));
    const found = new Map<string, Pod>();
    for (const name of names.toSorted()) {
      const path = join(directory, name);
      try {
        const pod = staticPod(await readFile(path, "utf8"), path, nodeName, new Date(clock.now()).toISOString());
        found.set(pod.metadata.uid ?? "", pod);
        this.#manifests.set(path, pod);
      } catch (error) {
        log.error({ err: error, path }, "not a static pod");
        // Differs from upstream: a manifest that is half written, or broken, does not end the pod that it was.
        const before = this.#manifests.get(path);
        if (before !== undefined) found.set(before.metadata.uid ?? "", before);
      }
    }
    for (const path of this.#manifests.keys()) if (!names.includes(basename(path))) this.#manifests.delete(path);
    for (const uid of this.#pods.keys()) {
      if (found.has(uid)) continue;
      this.#pods.delete(uid);
      sink.remove(uid);
    }
    for (const [uid, pod] of found) {
      if (this.#pods.has(uid)) continue;
      this.#pods.set(uid, pod);
      sink.set(pod);
    }
  }
}

/** The API's image of a static pod. */
export function mirrorOf(pod: Pod, nodeUid: string): Pod {
  const { uid: _, ...metadata } = pod.metadata;
  const hash = pod.metadata.annotations?.[HASH_ANNOTATION] ?? "";
  const owner = { apiVersion: "v1", kind: "Node", name: pod.spec?.nodeName ?? "", uid: nodeUid, controller: true };
  return {
    ...pod,
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, [MIRROR_ANNOTATION]: hash },
      ownerReferences: [owner],
    },
  };
}
