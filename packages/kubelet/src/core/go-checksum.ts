/**
 * The checksums in upstream's checkpoint files: FNV-1a of how Go's spew writes the structure. Whoever needs one renders
 * that text with `goList` and `goMap`; types are named once, on top of each list and map.
 * Source: pkg/kubelet/checkpointmanager/checksum; checked against files that upstream's kubelets wrote
 */

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** FNV-1a, 32 bits. */
export function goChecksum(text: string): number {
  let hash = OFFSET;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, PRIME) >>> 0;
  return hash >>> 0;
}

/** A nil slice is not an empty one. */
export function goList(items: readonly (string | number)[] | null): string {
  return items === null ? "<nil>" : `[${items.join(" ")}]`;
}

/** `entries` in the order of their keys, which is a number's where keys are numbers. */
export function goMap(entries: readonly (readonly [key: string | number, value: string])[] | null): string {
  return entries === null ? "<nil>" : `map[${entries.map(([key, value]) => `${key}:${value}`).join(" ")}]`;
}

/** As Go sorts strings: by bytes. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
