/**
 * Removes images that nobody uses: every five minutes by the thresholds of the filesystem and by age, and at once when
 * eviction asks for space. Owns the record of when each image was seen and used, which a restart begins anew.
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { withDefaultTag } from "../core/image-name.ts";
import {
  bytesToFree,
  type FilesystemSpace,
  type ImageGcPolicy,
  type ImageRecord,
  type ImageRecords,
  outdatedImages,
  readableBytes,
  recordImages,
  removableImages,
  usedPercent,
} from "./plan-image-gc.ts";

type ImageRuntime = Pick<Runtime, "listImages" | "listContainers" | "listSandboxes" | "sandboxStatus" | "removeImage">;

export interface ImageGcOptions {
  readonly runtime: ImageRuntime;
  readonly policy: ImageGcPolicy;
  /** Of the filesystem that images are on. */
  readonly space: () => Promise<FilesystemSpace>;
  /** Pods whose volumes may be images. */
  readonly pods: () => readonly Pod[];
  /** The sandboxes' image where it is configured, else "". */
  readonly sandboxImage: string;
  readonly event: (reason: string, message: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Source: pkg/kubelet/kubelet.go, ImageGCPeriod */
const PERIOD_MS = 5 * 60_000;

export class ImageGc {
  readonly #options: ImageGcOptions;
  readonly #since: number;
  #records: ImageRecords = new Map();

  constructor(options: ImageGcOptions) {
    this.#options = options;
    this.#since = options.clock.monotonicMs();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, event, log } = this.#options;
    let failedBefore = false;
    // The first look only learns what is there, so that ages count from the start.
    await this.#look().catch((error: unknown) => log.debug({ err: error }, "images not listed yet"));
    while (!signal.aborted) {
      await clock.sleep(PERIOD_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.collect();
        failedBefore = false;
      } catch (error) {
        log.warn({ err: error }, "image garbage collection failed");
        // Source: upstream tells it from the second time on, the first may be a runtime that is not ready yet.
        if (failedBefore) event("ImageGCFailed", error instanceof Error ? error.message : String(error));
        failedBefore = true;
      }
    }
  }

  /** By age and by the filesystem's thresholds. Throws when less could be freed than is needed. */
  async collect(): Promise<void> {
    const { clock, event, policy, space } = this.#options;
    const now = await this.#look();
    for (const record of outdatedImages(this.#records, now, policy, this.#since))
      await this.#remove(record, "unused for too long");
    const fs = await space();
    if (fs.capacityBytes === 0) {
      event("InvalidDiskCapacity", "invalid capacity 0 on image filesystem");
      throw new Error("invalid capacity 0 on image filesystem");
    }
    const wanted = bytesToFree(fs, policy);
    if (wanted === 0) return;
    const freed = await this.#free(wanted, clock.monotonicMs());
    if (freed >= wanted) return;
    const message =
      `Insufficient free disk space on the node's image filesystem (${usedPercent(fs)}% of ${readableBytes(fs.capacityBytes)} used). ` +
      `Failed to free sufficient space by deleting unused images (freed ${freed} bytes). ` +
      "Investigate disk usage, as it could be used by active images, logs, volumes, or other data.";
    event("FreeDiskSpaceFailed", message);
    throw new Error(message);
  }

  /** Everything that is not in use. Returns how many bytes that was. */
  async removeUnused(): Promise<number> {
    const now = await this.#look();
    return await this.#free(Number.POSITIVE_INFINITY, now);
  }

  async #free(wanted: number, now: number): Promise<number> {
    let freed = 0;
    for (const record of removableImages(this.#records, now, this.#options.policy.minAgeMs)) {
      if (freed >= wanted) break;
      if (await this.#remove(record, "space is short")) freed += record.image.sizeBytes;
    }
    return freed;
  }

  async #remove({ image }: ImageRecord, why: string): Promise<boolean> {
    const { log, runtime } = this.#options;
    try {
      await runtime.removeImage(image.id);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      // In use after all, or the runtime is busy with it: the next image may go.
      log.warn({ err: error, image: image.id }, "image not removed");
      return false;
    }
    log.info({ image: image.id, names: image.repoTags, sizeBytes: image.sizeBytes, why }, "image removed");
    this.#records = new Map([...this.#records].filter(([id]) => id !== image.id));
    return true;
  }

  /** Reads what is there and what is used; returns the time that uses are marked with. */
  async #look(): Promise<number> {
    const { clock, pods, runtime, sandboxImage } = this.#options;
    const [images, containers, sandboxes] = await Promise.all([
      runtime.listImages(),
      runtime.listContainers(),
      runtime.listSandboxes(),
    ]);
    const inUse = new Set(containers.flatMap((c) => [c.imageRef, c.image]));
    for (const pod of pods()) {
      for (const { image } of pod.spec?.volumes ?? []) {
        if (image?.reference !== undefined) inUse.add(tagged(image.reference));
      }
    }
    if (sandboxImage !== "") inUse.add(tagged(sandboxImage));
    const newest = sandboxes.at(0);
    if (newest !== undefined) {
      const info = (await runtime.sandboxStatus(newest.id).catch(() => undefined))?.info ?? {};
      const image = imageInInfo(info.info ?? "");
      if (image !== undefined) inUse.add(image);
    }
    const now = clock.monotonicMs();
    this.#records = recordImages(this.#records, images, inUse, now);
    return now;
  }
}

/** A name that can't be read is used by nobody. */
function tagged(name: string): string {
  try {
    return withDefaultTag(name);
  } catch {
    return name;
  }
}

/** The sandbox's own image, which older runtimes do not pin: containerd tells it in its verbose status. */
export function imageInInfo(info: string): string | undefined {
  try {
    const { image } = JSON.parse(info) as { image?: unknown };
    return typeof image === "string" && image !== "" ? image : undefined;
  } catch {
    // Not JSON, or not an object: this runtime tells something else there.
    return undefined;
  }
}
