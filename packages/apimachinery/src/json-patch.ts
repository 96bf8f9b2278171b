/** JSON patch. Source: RFC 6902, RFC 6901 (pointers); limits from k8s.io/apiserver handlers/patch.go */
import { PatchError } from "./patch-error.ts";
import { hasKey, isJsonObject, jsonEquals, setKey } from "./schema.ts";

/** Upstream's limit on the operations of one patch. */
export const MAX_JSON_PATCH_OPERATIONS = 10_000;

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from?: unknown;
  readonly value?: unknown;
}

/** The patched document; `document` is not changed. All operations apply or none. Throws PatchError. */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new PatchError("malformed", "a JSON patch must be an array of operations");
  if (patch.length > MAX_JSON_PATCH_OPERATIONS) {
    const limit = `The allowed maximum operations in a JSON patch is ${MAX_JSON_PATCH_OPERATIONS}, got ${patch.length}`;
    throw new PatchError("malformed", limit);
  }
  const root = { "": structuredClone(document) };
  for (const operation of patch) applyOperation(root, checked(operation));
  return root[""];
}

function checked(operation: unknown): Operation {
  if (!isJsonObject(operation) || typeof operation.op !== "string" || typeof operation.path !== "string") {
    throw new PatchError("malformed", "each operation of a JSON patch must be an object with op and path");
  }
  return operation as unknown as Operation;
}

function applyOperation(root: Record<string, unknown>, operation: Operation): void {
  const { op, path, value } = operation;
  switch (op) {
    case "add":
      requireValue(operation);
      return add(root, path, structuredClone(value));
    case "remove":
      remove(root, path);
      return;
    case "replace":
      requireValue(operation);
      find(root, path, op);
      return replace(root, path, structuredClone(value));
    case "move": {
      const from = fromOf(operation);
      if (path.startsWith(`${from}/`)) throw new PatchError("unappliable", `move from ${from} into itself: ${path}`);
      return add(root, path, remove(root, from));
    }
    case "copy":
      return add(root, path, structuredClone(find(root, fromOf(operation), op)));
    case "test": {
      // A test for null passes where there is nothing. Source: evanphx/json-patch
      const found = value === null ? findOrUndefined(root, path) : find(root, path, op);
      if (!jsonEquals(found ?? null, value ?? null)) {
        throw new PatchError("unappliable", `testing value ${path} failed: test failed`);
      }
      return;
    }
    default:
      throw new PatchError("malformed", `Unexpected kind: ${op}`);
  }
}

function requireValue(operation: Operation): void {
  if (operation.value === undefined) {
    throw new PatchError("malformed", `the JSON patch operation "${operation.op}" at ${operation.path} has no value`);
  }
}

function fromOf({ from, op }: Operation): string {
  if (typeof from !== "string") throw new PatchError("malformed", `the JSON patch operation "${op}" has no from`);
  return from;
}

function tokensOf(pointer: string): string[] {
  if (pointer !== "" && !pointer.startsWith("/")) {
    throw new PatchError("unappliable", `path ${JSON.stringify(pointer)} must start with "/"`);
  }
  return pointer.split("/").map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** The container that the last token points into. The document itself lies under the key "" of the root. */
function locate(root: Record<string, unknown>, pointer: string, op: string): { parent: unknown; token: string } {
  const tokens = tokensOf(pointer);
  let parent: unknown = root;
  for (const token of tokens.slice(0, -1)) {
    parent = child(parent, token);
    if (parent === undefined) {
      throw new PatchError(
        "unappliable",
        `${op} operation does not apply: doc is missing path: ${pointer}: missing value`,
      );
    }
  }
  return { parent, token: tokens.at(-1) ?? "" };
}

function child(parent: unknown, token: string): unknown {
  if (Array.isArray(parent)) return parent[indexOf(parent, token, parent.length - 1)];
  return isJsonObject(parent) && hasKey(parent, token) ? parent[token] : undefined;
}

function indexOf(list: readonly unknown[], token: string, max: number): number {
  if (!/^(0|[1-9]\d*)$/.test(token) || Number(token) > max) {
    throw new PatchError(
      "unappliable",
      `Unable to access invalid index: ${token}: invalid index referenced (length ${list.length})`,
    );
  }
  return Number(token);
}

function findOrUndefined(root: Record<string, unknown>, pointer: string): unknown {
  const { parent, token } = locate(root, pointer, "test");
  return child(parent, token);
}

function find(root: Record<string, unknown>, pointer: string, op: string): unknown {
  const { parent, token } = locate(root, pointer, op);
  const value = child(parent, token);
  if (value === undefined) {
    throw new PatchError(
      "unappliable",
      `${op} operation does not apply: doc is missing key: ${pointer}: missing value`,
    );
  }
  return value;
}

function add(root: Record<string, unknown>, pointer: string, value: unknown): void {
  const { parent, token } = locate(root, pointer, "add");
  if (Array.isArray(parent)) {
    const index = token === "-" ? parent.length : indexOf(parent, token, parent.length);
    parent.splice(index, 0, value);
  } else if (isJsonObject(parent)) setKey(parent, token, value);
  else
    throw new PatchError("unappliable", `add operation does not apply: doc is missing path: ${pointer}: missing value`);
}

function replace(root: Record<string, unknown>, pointer: string, value: unknown): void {
  const { parent, token } = locate(root, pointer, "replace");
  if (Array.isArray(parent)) parent[indexOf(parent, token, parent.length - 1)] = value;
  else setKey(parent as Record<string, unknown>, token, value);
}

function remove(root: Record<string, unknown>, pointer: string): unknown {
  const value = find(root, pointer, "remove");
  const { parent, token } = locate(root, pointer, "remove");
  if (Array.isArray(parent)) parent.splice(indexOf(parent, token, parent.length - 1), 1);
  else delete (parent as Record<string, unknown>)[token];
  return value;
}
