/** Writes an archive that the kernel unpacks as its first file system. Source: kernel's early-userspace/buffer-format */
import { readFileSync } from "node:fs";

export type CpioEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "link"; readonly path: string; readonly to: string }
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly from: string | Buffer };

/** Paths are absolute in the guest; folders must come before what is in them. */
export function* renderCpio(entries: Iterable<CpioEntry>): Generator<Buffer> {
  let inode = 1;
  for (const entry of entries) yield* renderEntry(entry, inode++);
  yield* renderRaw("TRAILER!!!", 0, Buffer.alloc(0), 0);
}

function* renderEntry(entry: CpioEntry, inode: number): Generator<Buffer> {
  const name = entry.path.replace(/^\//, "");
  switch (entry.kind) {
    case "directory":
      return yield* renderRaw(name, 0o040755, Buffer.alloc(0), inode);
    case "link":
      return yield* renderRaw(name, 0o120777, Buffer.from(entry.to), inode);
    case "file": {
      const data = typeof entry.from === "string" ? readFileSync(entry.from) : entry.from;
      return yield* renderRaw(name, 0o100000 | entry.mode, data, inode);
    }
    default:
      throw new TypeError(`unknown entry ${JSON.stringify(entry satisfies never)}`);
  }
}

function* renderRaw(name: string, mode: number, data: Buffer, inode: number): Generator<Buffer> {
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
  const header = `070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}${name}\0`;
  yield padded(Buffer.from(header));
  yield padded(data);
}

function padded(data: Buffer): Buffer {
  return data.length % 4 === 0 ? data : Buffer.concat([data, Buffer.alloc(4 - (data.length % 4))]);
}
