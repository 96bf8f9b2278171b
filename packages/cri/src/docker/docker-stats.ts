/** Usage of the running containers. Disk use is measured in the background, one container at a time. */
import { performance } from "node:perf_hooks";
import type { CallOptions, StatsService } from "../runtime.ts";
import type { ContainerStats } from "../types.ts";
import { readCgroupUsage, readProcCgroup } from "./cgroup-stats.ts";
import { type DiskUsage, diskUsage } from "./disk-usage.ts";
import { type DockerContext, inspectOwned, listOwned } from "./docker-context.ts";
import type { ListedContainer } from "./engine-types.ts";
import { ownedOf } from "./identity.ts";

const DISK_MAX_AGE_MS = 30_000;

interface Running {
  readonly procCgroup: string;
  /** The writable layer's folder; "" when the storage driver has none to show. */
  readonly upperDir: string;
  disk: { readonly at: number; readonly usage: DiskUsage } | undefined;
}

export class DockerStats implements StatsService {
  readonly #context: DockerContext;
  readonly #running = new Map<string, Running>();
  #measuring: Promise<void> | undefined;

  constructor(context: DockerContext) {
    this.#context = context;
  }

  async listContainerStats(options?: CallOptions): Promise<ContainerStats[]> {
    const listed = await listOwned(this.#context, "container", [], options);
    const running = listed.filter((item) => item.State === "running");
    const present = new Set(running.map((item) => item.Id));
    for (const id of this.#running.keys()) if (!present.has(id)) this.#running.delete(id);
    const stats = await Promise.all(running.map((item) => this.#statsOf(item, options)));
    this.#measuring ??= this.#measureDisks().finally(() => (this.#measuring = undefined));
    return stats.filter((s) => s !== undefined);
  }

  async #statsOf(item: ListedContainer, options?: CallOptions): Promise<ContainerStats | undefined> {
    const owned = ownedOf(item.Labels, this.#context.owner);
    if (owned?.kind !== "container") return undefined;
    const known = this.#running.get(item.Id) ?? (await this.#find(item.Id, options));
    if (known === undefined) return undefined;
    const usage = await readCgroupUsage(known.procCgroup);
    // Its cgroup is gone: it ended a moment ago.
    if (usage.cpuUsageNanoSeconds === undefined && usage.memoryUsageBytes === undefined) return undefined;
    return {
      id: item.Id,
      name: owned.record.name,
      labels: owned.record.labels,
      timestamp: Date.now(),
      ...usage,
      writableLayerBytes: known.disk?.usage.bytes,
      writableLayerInodes: known.disk?.usage.inodes,
    };
  }

  /** A container's cgroup and layer stay the same while it runs. */
  async #find(id: string, options?: CallOptions): Promise<Running | undefined> {
    const found = await inspectOwned(this.#context, "container", id, options).catch(() => undefined);
    if (found === undefined || !found.inspected.State.Running) return undefined;
    const procCgroup = await readProcCgroup(found.inspected.State.Pid);
    if (procCgroup === undefined) return undefined;
    const entry = { procCgroup, upperDir: found.inspected.GraphDriver?.Data?.UpperDir ?? "", disk: undefined };
    this.#running.set(id, entry);
    return entry;
  }

  async #measureDisks(): Promise<void> {
    for (const entry of this.#running.values()) {
      const ageMs = performance.now() - (entry.disk?.at ?? Number.NEGATIVE_INFINITY);
      if (entry.upperDir === "" || ageMs < DISK_MAX_AGE_MS) continue;
      const usage = await diskUsage(entry.upperDir).catch(() => undefined); // Removed meanwhile: asked again if not.
      if (usage !== undefined) entry.disk = { at: performance.now(), usage };
    }
  }
}
