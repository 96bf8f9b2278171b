/** A tar archive in memory (POSIX ustar), with fixed times so that the same files give the same bytes. */

export type TarEntry =
  | {
      readonly type: "file";
      readonly path: string;
      readonly mode: number;
      readonly data: Buffer;
      readonly uid?: number;
    }
  | { readonly type: "directory"; readonly path: string; readonly mode: number; readonly uid?: number }
  | { readonly type: "symlink"; readonly path: string; readonly target: string };

const BLOCK = 512;
const TYPE_FLAGS = { file: "0", symlink: "2", directory: "5" } as const;

function header(entry: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "ascii");
  const uid = entry.type === "symlink" ? 0 : (entry.uid ?? 0);
  if (Buffer.byteLength(entry.path) > 100) throw new Error(`path too long for ustar: ${entry.path}`);
  block.write(entry.path, 0);
  octal(entry.type === "symlink" ? 0o777 : entry.mode, 100, 8);
  octal(uid, 108, 8);
  octal(uid, 116, 8);
  octal(entry.type === "file" ? entry.data.length : 0, 124, 12);
  octal(0, 136, 12);
  block.write("        ", 148, "ascii");
  block.write(TYPE_FLAGS[entry.type], 156, "ascii");
  if (entry.type === "symlink") block.write(entry.target, 157);
  block.write("ustar\x0000", 257, "ascii");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "ascii");
  return block;
}

/** The archive's bytes, entries in the order given. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    parts.push(header(entry));
    if (entry.type !== "file") continue;
    const rest = entry.data.length % BLOCK;
    parts.push(entry.data, Buffer.alloc(rest === 0 ? 0 : BLOCK - rest));
  }
  parts.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(parts);
}
