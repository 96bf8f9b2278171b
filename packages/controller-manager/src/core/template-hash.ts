/**
 * The hash that tells pod templates apart: in ReplicaSets' names and the label pod-template-hash.
 *
 * Differs from upstream: the hash covers the template's canonical JSON, not a dump of Go's structs, because that dump's
 * text belongs to Go. Shape (FNV-32a, then upstream's safe letters) and use are the same, and templates are matched by
 * content, so either side goes on with what the other made.
 */
import type { PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import { canonicalJson } from "./canonical-json.ts";

export const POD_TEMPLATE_HASH_LABEL = "pod-template-hash";
/** No vowels and no look-alikes. Source: k8s.io/apimachinery/pkg/util/rand SafeEncodeString */
const SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

/** 32-bit FNV-1a. Source: draft-eastlake-fnv */
export function fnv32a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Each character becomes a safe letter: "3141592653" -> "zvw..."; as many as there were. */
export function safeEncode(text: string): string {
  return [...text].map((c) => SAFE_LETTERS[c.charCodeAt(0) % SAFE_LETTERS.length]).join("");
}

/** `collisionCount` changes the hash when another ReplicaSet has its name already. */
export function templateHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  const text = collisionCount === undefined ? "" : `\0${collisionCount}`;
  return safeEncode(String(fnv32a(new TextEncoder().encode(canonicalJson(template) + text))));
}

/** Whether two templates mean the same but for the hash label. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return canonicalJson(withoutHash(a)) === canonicalJson(withoutHash(b));
}

function withoutHash(template: PodTemplateSpec | undefined): unknown {
  if (template === undefined) return undefined;
  const { [POD_TEMPLATE_HASH_LABEL]: _hash, ...labels } = template.metadata?.labels ?? {};
  // A nameless template's metadata says nothing but labels, annotations and finalizers.
  const { annotations, finalizers } = template.metadata ?? {};
  const metadata = {
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(annotations ?? {}).length === 0 ? {} : { annotations }),
    ...((finalizers ?? []).length === 0 ? {} : { finalizers }),
  };
  return { metadata, spec: template.spec };
}
