/**
 * JSON patch. Source: RFC 6902, RFC 6901 (pointers), as github.com/evanphx/json-patch v4 does them; limits from
 * k8s.io/apiserver handlers/patch.go
 *
 * Beyond the RFC, as upstream: negative indices count from the end; an absent value is null. Short of it, as upstream: the
 * pointer "" of the whole document applies to nothing.
 */
import { cloneJson, stringifyJson } from "./json.ts";
import { PatchError } from "./patch-error.ts";
import { hasKey, isJsonObject, type JsonObject, jsonEquals, setKey } from "./schema.ts";
import { statusErrors } from "./status-error.ts";

/** Upstream's limit on the operations of one patch. */
export const MAX_JSON_PATCH_OPERATIONS = 10_000;
/** What all copies of one patch may add together: without it, thirty of them make gigabytes. Source: JSONPatchMaxCopyBytes */
export const MAX_JSON_PATCH_COPY_CHARS = 3 * 1024 * 1024;

interface Progress {
  readonly document: unknown;
  copiedChars: number;
}

/**
 * The patched document; `document` is not changed. All operations apply or none. Throws PatchError, and StatusError 413
 * for too many operations.
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new PatchError("malformed", notOfType(patch, "Patch"));
  if (patch.length > MAX_JSON_PATCH_OPERATIONS) {
    throw statusErrors.requestTooLarge(
      `The allowed maximum operations in a JSON patch is ${MAX_JSON_PATCH_OPERATIONS}, got ${patch.length}`,
    );
  }
  const bad = patch.find((operation) => !isJsonObject(operation));
  if (bad !== undefined) throw new PatchError("malformed", notOfType(bad, "Operation"));
  const progress: Progress = { document: cloneJson(document), copiedChars: 0 };
  for (const operation of patch) applyOperation(progress, operation);
  return progress.document;
}

function notOfType(value: unknown, type: string): string {
  const kind = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  return `json: cannot unmarshal ${kind === "boolean" ? "bool" : kind} into Go value of type jsonpatch.${type}`;
}

const unappliable = (message: string) => new PatchError("unappliable", message);

function applyOperation(progress: Progress, operation: JsonObject): void {
  const { document } = progress;
  const op = typeof operation.op === "string" ? operation.op : "unknown";
  // A value of the patch may be added twice; nothing of the result shall be shared.
  const value = operation.value === undefined ? null : cloneJson(operation.value);
  switch (op) {
    case "add":
      return add(locate(document, pathOf(operation, op), op), value);
    case "remove":
      remove(locate(document, pathOf(operation, op), op));
      return;
    case "replace":
      return replace(locate(document, pathOf(operation, op), op), value);
    case "move": {
      const moved = remove(locate(document, fromOf(operation, op), op));
      return add(locate(document, pathOf(operation, op), op), moved);
    }
    case "copy": {
      const copy = cloneJson(find(locate(document, fromOf(operation, op), op)));
      countCopy(progress, copy);
      return add(locate(document, pathOf(operation, op), op), copy);
    }
    case "test":
      return test(locate(document, pathOf(operation, op), op), value);
    default:
      throw unappliable(`Unexpected kind: ${op}`);
  }
}

function pathOf({ path }: JsonObject, op: string): string {
  if (typeof path !== "string") throw unappliable(`${op} operation failed to decode path: missing value`);
  return path;
}

function fromOf({ from }: JsonObject, op: string): string {
  if (typeof from !== "string") throw unappliable(`${op} operation failed to decode from: missing value`);
  return from;
}

function countCopy(progress: Progress, copy: unknown): void {
  progress.copiedChars += stringifyJson(copy).length;
  if (progress.copiedChars <= MAX_JSON_PATCH_COPY_CHARS) return;
  throw unappliable(
    `Unable to complete the copy, the accumulated size increase of copy is ${progress.copiedChars}, ` +
      `exceeding the limit ${MAX_JSON_PATCH_COPY_CHARS}`,
  );
}

/** Where a pointer leads: the container that its last token points into, which may hold nothing there. */
interface Place {
  readonly parent: JsonObject | unknown[];
  readonly token: string;
  readonly pointer: string;
  readonly op: string;
}

function locate(document: unknown, pointer: string, op: string): Place {
  const missing = () => unappliable(`${op} operation does not apply: doc is missing path: ${pointer}: missing value`);
  if (!pointer.startsWith("/")) throw missing();
  const tokens = pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = tokens.pop() ?? "";
  let parent = document;
  for (const token of tokens) {
    if (Array.isArray(parent)) parent = parent[indexOf(parent, token, parent.length)];
    else parent = isJsonObject(parent) && hasKey(parent, token) ? parent[token] : undefined;
  }
  if (!Array.isArray(parent) && !isJsonObject(parent)) throw missing();
  return { parent, token: last, pointer, op };
}

/** An index below `end`; negative ones count back from it. */
function indexOf(list: readonly unknown[], token: string, end: number): number {
  if (!/^[+-]?\d{1,15}$/.test(token)) {
    throw unappliable(`strconv.Atoi: parsing ${JSON.stringify(token)}: invalid syntax`);
  }
  const index = Number(token);
  if (index >= end || index < -end) {
    throw unappliable(
      `Unable to access invalid index: ${index}: invalid index referenced (the list has ${list.length} items)`,
    );
  }
  return index < 0 ? index + end : index;
}

function find({ parent, token, pointer, op }: Place): unknown {
  if (Array.isArray(parent)) return parent[indexOf(parent, token, parent.length)];
  if (hasKey(parent, token)) return parent[token];
  throw unappliable(`${op} operation does not apply: doc is missing key: ${pointer}: missing value`);
}

function add({ parent, token }: Place, value: unknown): void {
  if (!Array.isArray(parent)) setKey(parent, token, value);
  else if (token === "-") parent.push(value);
  else parent.splice(indexOf(parent, token, parent.length + 1), 0, value);
}

function replace(place: Place, value: unknown): void {
  find(place);
  const { parent, token } = place;
  if (Array.isArray(parent)) parent[indexOf(parent, token, parent.length)] = value;
  else setKey(parent, token, value);
}

function remove(place: Place): unknown {
  const value = find(place);
  const { parent, token } = place;
  if (Array.isArray(parent)) parent.splice(indexOf(parent, token, parent.length), 1);
  else delete parent[token];
  return value;
}

/** A test for null passes where there is nothing. */
function test(place: Place, value: unknown): void {
  const { parent, token, pointer } = place;
  const isAbsent = !Array.isArray(parent) && !hasKey(parent, token);
  if (!jsonEquals(isAbsent ? null : find(place), value)) {
    throw unappliable(`testing value ${pointer} failed: test failed`);
  }
}
