/**
 * Which of the node's user and group ids a pod with `hostUsers: false` gets: one range of its own, so that what breaks
 * out of one pod is nobody in another and nobody on the node. Pure.
 *
 *   pool 65536..4294967295, 65536 ids a pod:
 *   | node 0 | pod a 65536 | pod b 131072 | free 196608 | ...     0 in pod b is 131072 outside of it
 *
 * Source: KEP-127; wording and file format as in upstream's pkg/kubelet/userns
 */

export interface IdRange {
  readonly first: number;
  readonly length: number;
}

/** The ids that pods may get, and how many each gets. */
export interface IdPool extends IdRange {
  readonly idsPerPod: number;
}

export const UNIT = 65_536;
/** All ids that the kernel has but the first 65,536, which are the node's. */
export const DEFAULT_RANGE: IdRange = { first: UNIT, length: 2 ** 32 - UNIT };

/** What is wrong with a pool; undefined when it can serve `maxPods` pods. */
export function poolComplaint({ first, length, idsPerPod }: IdPool, maxPods: number): string | undefined {
  if (idsPerPod % UNIT !== 0) return `kubelet user namespace length ${idsPerPod} is not a multiple of ${UNIT}`;
  if (first % idsPerPod !== 0) return `kubelet user assigned ID ${first} is not a multiple of ${idsPerPod}`;
  // The node's own ids are never a pod's.
  if (first < idsPerPod) return `kubelet user assigned ID ${first} must be greater or equal to ${idsPerPod}`;
  if (length % idsPerPod !== 0) return `kubelet user assigned IDs length ${length} is not a multiple of ${idsPerPod}`;
  if (length / idsPerPod < maxPods) return `kubelet user assigned IDs are not enough to support ${maxPods} pods`;
  return undefined;
}

function overlap(a: IdRange, b: IdRange): boolean {
  return a.first < b.first + b.length && b.first < a.first + a.length;
}

/** The lowest range of the pool that touches none in use; undefined when there is none. */
export function nextRange(pool: IdPool, used: readonly IdRange[]): IdRange | undefined {
  const taken = used.toSorted((a, b) => a.first - b.first);
  let first = pool.first;
  for (const range of taken) {
    if (!overlap({ first, length: pool.idsPerPod }, range)) continue;
    // A range of a former pool may have another length: the next begins at a multiple all the same.
    first = Math.ceil((range.first + range.length) / pool.idsPerPod) * pool.idsPerPod;
  }
  return first + pool.idsPerPod <= pool.first + pool.length ? { first, length: pool.idsPerPod } : undefined;
}

interface SavedMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

/** The text of a pod's file: upstream's, so that either kubelet goes on with the other's pods. */
export function renderMappings({ first, length }: IdRange): string {
  const mapping: SavedMapping = { hostId: first, containerId: 0, length };
  return JSON.stringify({ uidMappings: [mapping], gidMappings: [mapping] });
}

const isId = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= 2 ** 32;

/** Throws when the text is not what `renderMappings` writes: nothing may be assumed then of what the pod has. */
export function parseMappings(text: string): IdRange {
  let saved: { uidMappings?: SavedMapping[]; gidMappings?: SavedMapping[] } | null;
  try {
    saved = JSON.parse(text) as typeof saved;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`invalid user namespace mappings file: ${why}`);
  }
  const { uidMappings: uids, gidMappings: gids } = saved ?? {};
  const refuse = (why: string) => new Error(`invalid user namespace configuration: ${why}`);
  const [uid, gid] = [uids?.[0], gids?.[0]];
  if (uid === undefined || uids?.length !== 1) throw refuse("no more than one mapping allowed.");
  if (gid === undefined || gids?.length !== 1) throw refuse("GID and UID mappings should be identical.");
  if (uid.hostId !== gid.hostId || uid.length !== gid.length || uid.containerId !== gid.containerId) {
    throw refuse("GID and UID mapping should be identical");
  }
  if (uid.containerId !== 0) throw refuse("UID 0 must be mapped");
  if (!isId(uid.hostId) || !isId(uid.length) || uid.hostId < UNIT || uid.length < 1) {
    throw refuse(`${uid.hostId} with length ${uid.length} is no range of ids`);
  }
  return { first: uid.hostId, length: uid.length };
}

/** What getsubids(1) prints of a user with one range: "0: kubelet 65536 7208960". Throws on anything else. */
export function parseSubordinateIds(text: string): IdRange {
  const lines = text.trim().split("\n");
  const [line = ""] = lines;
  if (lines.length > 1) throw new Error(`error parsing line ${JSON.stringify(text.trim())}: only one range is allowed`);
  const parts = line.trim().split(/\s+/);
  if (parts.length !== 4) throw new Error(`invalid line ${JSON.stringify(line)}`);
  const [first, length] = [Number(parts[2]), Number(parts[3])];
  if (!isId(first) || !isId(length)) throw new Error(`error parsing line ${JSON.stringify(line)}`);
  return { first, length };
}
