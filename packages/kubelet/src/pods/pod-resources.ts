/**
 * The resources that one pod was granted and those that the runtime was told, kept in a file in the pod's folder: a
 * kubelet that starts anew must know both, and the runtime tells neither (the limits in force are rounded).
 * Differs from upstream: one file for each pod instead of one for all, because it then goes with the pod's folder.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod, ResourceRequirements } from "@knarr/api/generated/types/core-v1.ts";
import { type Allocation, allocationOf, sameAllocation, withAllocation } from "../core/resize.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";

interface Checkpoint {
  readonly allocated: Allocation;
  /** By container id. */
  readonly actuated: Readonly<Record<string, ResourceRequirements>>;
}

export class PodResources {
  readonly #directory: string;
  #allocated: Allocation | undefined;
  #actuated = new Map<string, ResourceRequirements>();
  #loaded = false;
  /** The limits that the pod's cgroup was given last, as JSON; "" when this kubelet gave it none yet. */
  cgroupLimits = "";

  constructor(rootDir: string, uid: string) {
    this.#directory = podDirectory(rootDir, uid);
  }

  async load(): Promise<void> {
    if (this.#loaded) return;
    const text = await readFile(join(this.#directory, FILE), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (text !== undefined) this.#restore(text);
    this.#loaded = true;
  }

  #restore(text: string): void {
    let saved: Checkpoint;
    try {
      saved = JSON.parse(text) as Checkpoint;
    } catch {
      // A file that a crash cut short: the pod is granted what it asks for, as if it were seen for the first time.
      return;
    }
    this.#allocated = saved.allocated;
    this.#actuated = new Map(Object.entries(saved.actuated));
  }

  /** Before the first allocation a pod is granted what it asks for. */
  allocatedPod(pod: Pod): Pod {
    return this.#allocated === undefined ? pod : withAllocation(pod, this.#allocated);
  }

  /** Whether the spec asks for something else than was granted. */
  isWanted(pod: Pod): boolean {
    return this.#allocated !== undefined && !sameAllocation(allocationOf(pod), this.#allocated);
  }

  get isAllocated(): boolean {
    return this.#allocated !== undefined;
  }

  async allocate(pod: Pod): Promise<void> {
    this.#allocated = allocationOf(pod);
    await this.#save();
  }

  actuated(containerId: string): ResourceRequirements | undefined {
    return this.#actuated.get(containerId);
  }

  /** Notes what a container was started or updated with; `known`: the containers that still are. */
  async actuate(containerId: string, resources: ResourceRequirements, known: readonly string[]): Promise<void> {
    for (const id of this.#actuated.keys()) if (!known.includes(id)) this.#actuated.delete(id);
    this.#actuated.set(containerId, resources);
    await this.#save();
  }

  async #save(): Promise<void> {
    if (this.#allocated === undefined) return;
    const checkpoint: Checkpoint = { allocated: this.#allocated, actuated: Object.fromEntries(this.#actuated) };
    await mkdir(this.#directory, { recursive: true, mode: 0o750 });
    const path = join(this.#directory, FILE);
    await writeFile(`${path}.new`, JSON.stringify(checkpoint), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}

const FILE = "resources.json";
