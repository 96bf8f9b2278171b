/**
 * Which images are removed, and when. Pure.
 *
 *   used 85 % of the filesystem (high) -> the longest unused images go until 80 % (low) are used
 *   unused for the maximum age         -> goes, however much is free
 *
 * Spared: what a container or a volume uses, what the runtime pins, what was first seen less than the minimum age ago.
 * Source: pkg/kubelet/images/image_gc_manager.go
 */
import type { Image } from "@knarr/cri/types.ts";

export interface ImageRecord {
  readonly image: Image;
  readonly firstSeenAt: number;
  /** 0: not used since it was first seen. */
  readonly lastUsedAt: number;
}

export type ImageRecords = ReadonlyMap<string, ImageRecord>;

/** What is there now, with what was known of it. `inUse` holds ids, tags and digests. */
export function recordImages(
  before: ImageRecords,
  images: readonly Image[],
  inUse: ReadonlySet<string>,
  now: number,
): ImageRecords {
  return new Map(
    images.map((image) => {
      const known = before.get(image.id);
      const used = [image.id, ...image.repoTags, ...image.repoDigests].some((name) => inUse.has(name));
      return [
        image.id,
        { image, firstSeenAt: known?.firstSeenAt ?? now, lastUsedAt: used ? now : (known?.lastUsedAt ?? 0) },
      ];
    }),
  );
}

export interface ImageGcPolicy {
  readonly highPercent: number;
  readonly lowPercent: number;
  readonly minAgeMs: number;
  /** 0: images are not removed for their age. */
  readonly maxAgeMs: number;
}

/** Those that may go, the longest unused first. */
export function removableImages(records: ImageRecords, now: number, minAgeMs: number): ImageRecord[] {
  return [...records.values()]
    .filter(({ image, firstSeenAt, lastUsedAt }) => !image.pinned && lastUsedAt < now && now - firstSeenAt >= minAgeMs)
    .toSorted((a, b) => a.lastUsedAt - b.lastUsedAt || a.firstSeenAt - b.firstSeenAt);
}

/** Those that have not been used for too long. Nothing is judged before the kubelet has watched for that long itself. */
export function outdatedImages(
  records: ImageRecords,
  now: number,
  policy: ImageGcPolicy,
  since: number,
): ImageRecord[] {
  const { maxAgeMs, minAgeMs } = policy;
  if (maxAgeMs === 0 || now - since <= maxAgeMs) return [];
  return removableImages(records, now, minAgeMs).filter((r) => now - Math.max(r.lastUsedAt, r.firstSeenAt) > maxAgeMs);
}

export interface FilesystemSpace {
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

export function usedPercent({ capacityBytes, availableBytes }: FilesystemSpace): number {
  return 100 - Math.trunc((Math.min(availableBytes, capacityBytes) * 100) / capacityBytes);
}

/** How much is to be freed, 0 below the high threshold. */
export function bytesToFree(space: FilesystemSpace, policy: ImageGcPolicy): number {
  const { capacityBytes } = space;
  const available = Math.min(space.availableBytes, capacityBytes);
  if (usedPercent(space) < policy.highPercent) return 0;
  return Math.max(0, Math.trunc((capacityBytes * (100 - policy.lowPercent)) / 100) - available);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 -> "1.5 KiB" */
export function readableBytes(bytes: number): string {
  const step = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[step]}`;
}
