/** JSON merge patch. Source: RFC 7386 */
import { hasKey, isJsonObject, setKey } from "./schema.ts";

/** The patched document; neither argument is changed. Null removes a key, anything but an object replaces. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: Record<string, unknown> = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setKey(result, key, applyMergePatch(hasKey(result, key) ? result[key] : undefined, value));
  }
  return result;
}
