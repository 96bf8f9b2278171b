/**
 * Finds keys that stand twice in one object of a JSON text. JSON.parse keeps the last and says nothing.
 * One pass over the text, which must be valid JSON.
 */

interface Frame {
  /** Keys seen; undefined in a list. */
  readonly keys: Set<string> | undefined;
  /** The key or index that we are in. */
  at: string | number;
}

/** More are not worth the memory: nobody reads them. */
const MAX_FOUND = 1000;

/** Paths of the repeated keys ("spec.replicas", "spec.items[0].name"), each once, in order of the text. */
export function findDuplicateKeys(text: string): string[] {
  const found = new Set<string>();
  const stack: Frame[] = [];
  let expectKey = false;
  for (let i = 0; i < text.length && found.size < MAX_FOUND; i++) {
    switch (text.charCodeAt(i)) {
      case 0x7b: // {
        stack.push({ keys: new Set(), at: "" });
        expectKey = true;
        break;
      case 0x5b: // [
        stack.push({ keys: undefined, at: 0 });
        expectKey = false;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        stack.pop();
        expectKey = false;
        break;
      case 0x2c: {
        // ,
        const top = stack.at(-1);
        expectKey = top?.keys !== undefined;
        if (top !== undefined && typeof top.at === "number") top.at++;
        break;
      }
      case 0x22: {
        // "
        const end = endOfString(text, i);
        const top = stack.at(-1);
        if (expectKey && top?.keys !== undefined) {
          top.at = keyOf(text.slice(i, end + 1));
          if (top.keys.has(top.at)) found.add(pathOf(stack));
          top.keys.add(top.at);
          expectKey = false;
        }
        i = end;
        break;
      }
      default:
        break;
    }
  }
  return [...found];
}

/** How many keys all objects of a valid JSON text have together, repeated ones counted each time: its colons outside strings. */
export function countKeysInText(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x22) i = endOfString(text, i);
    else if (char === 0x3a) count++;
  }
  return count;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
  return text.length;
}

function keyOf(quoted: string): string {
  return quoted.includes("\\") ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}

function pathOf(stack: readonly Frame[]): string {
  let path = "";
  for (const { at } of stack) path += typeof at === "number" ? `[${at}]` : path === "" ? at : `.${at}`;
  return path;
}
