/** Tells whether a running container still is what the pod asks for. Pure. */
import type { Container } from "@knarr/api/generated/types/core-v1.ts";

/** FNV-1a over name and image, the only fields that can change in a running pod and ask for a restart. In hexadecimal. */
export function containerHash(container: Container): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(JSON.stringify([container.name, container.image ?? ""]))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash.toString(16);
}
