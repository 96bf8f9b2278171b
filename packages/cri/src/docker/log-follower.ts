/**
 * Keeps one container's CRI log file equal to what Docker has logged of it, without loss or repeats, across restarts of the
 * kubelet and rotations on both sides.
 *
 * Conversion is deterministic, so a position is all there is to remember: how far Docker's file was read, and how long the
 * CRI file was then. After a crash between the two writes the CRI file is longer than remembered: that many bytes of
 * what the same input gives again are left out.
 *
 *   Docker:  x-json.log.2  x-json.log.1  x-json.log          read in this order, each to its end
 *   CRI:     0.log.20260102-030405  0.log                    written through an open file; reopen() follows the path anew
 */
import type { FileHandle } from "node:fs/promises";
import { constants, mkdir, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { convertLines } from "./log-lines.ts";

/** Inode and birth, since inodes are used again. */
type FileIdentity = string;

interface Position {
  readonly source: FileIdentity;
  readonly offset: number;
  readonly target: FileIdentity;
  readonly targetSize: number;
}

const POSITION_BYTES = 256;
const CHUNK_BYTES = 256 * 1024;
const MAX_LINE_BYTES = 16 * 1024 * 1024;

async function identityOf(file: FileHandle | string): Promise<FileIdentity> {
  const { ino, birthtimeNs } = await (typeof file === "string"
    ? stat(file, { bigint: true })
    : file.stat({ bigint: true }));
  return `${ino}:${birthtimeNs}`;
}

async function identityIfThere(path: string): Promise<FileIdentity | undefined> {
  try {
    return await identityOf(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A file of a name or a rotated one of it that has an identity; undefined if none has. */
async function findByIdentity(path: string, identity: FileIdentity): Promise<string | undefined> {
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  for (const name of names.filter((n) => n === basename(path) || n.startsWith(`${basename(path)}.`))) {
    const candidate = join(dirname(path), name);
    if ((await identityIfThere(candidate)) === identity) return candidate;
  }
  return undefined;
}

/** Docker's file and its rotated ones, oldest first. */
async function sourcesOf(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  const numbers = names
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter((number) => Number.isInteger(number) && number > 0);
  return [...numbers.toSorted((a, b) => b - a).map((number) => `${path}.${number}`), path];
}

export interface LogFollowerPaths {
  /** Docker's json-file. */
  readonly source: string;
  /** The CRI log. */
  readonly target: string;
  /** Where the position is kept. */
  readonly position: string;
}

export class LogFollower {
  readonly #paths: LogFollowerPaths;
  #source: { readonly file: FileHandle; readonly identity: FileIdentity } | undefined;
  #target: { readonly file: FileHandle; readonly identity: FileIdentity; size: number } | undefined;
  #position: FileHandle | undefined;
  #offset = 0;
  #skip = 0;

  constructor(paths: LogFollowerPaths) {
    this.#paths = paths;
  }

  get paths(): LogFollowerPaths {
    return this.#paths;
  }

  /** Converts what is there now, to the end of the newest file. Not to be called twice at once. */
  async pump(): Promise<void> {
    if (this.#source === undefined) await this.#begin();
    for (;;) {
      const before = this.#source?.identity;
      await this.#readToEnd();
      // What was written between the last read and the rename is in the file that was just read.
      if ((await identityIfThere(this.#paths.source)) === before) return;
      await this.#readToEnd();
      if (!(await this.#nextSource())) return;
    }
  }

  /** Lets go of the CRI file and opens its path anew. Not to be called while pumping. */
  async reopen(): Promise<void> {
    if (this.#source === undefined) await this.#begin();
    await this.#target?.file.close();
    this.#target = undefined;
    this.#skip = 0;
    await this.#openTarget();
    await this.#remember();
  }

  async close(): Promise<void> {
    const files = [this.#source?.file, this.#target?.file, this.#position];
    this.#source = this.#target = this.#position = undefined;
    for (const file of files) await file?.close();
  }

  async #begin(): Promise<void> {
    await mkdir(dirname(this.#paths.target), { recursive: true, mode: 0o755 });
    await mkdir(dirname(this.#paths.position), { recursive: true, mode: 0o700 });
    await this.#position?.close();
    this.#position = await open(this.#paths.position, constants.O_RDWR | constants.O_CREAT, 0o600);
    const known = await this.#recall();
    this.#target ??= await this.#openTarget();
    this.#skip = known === undefined ? 0 : await this.#written(known);
    const sources = await sourcesOf(this.#paths.source);
    const at = known === undefined ? undefined : await findByIdentity(this.#paths.source, known.source);
    // Without a known place, what is there is read from its beginning; what was rotated away meanwhile is gone.
    this.#offset = at === undefined ? 0 : (known?.offset ?? 0);
    const file = await open(at ?? sources[0] ?? this.#paths.source, "r");
    this.#source = { file, identity: await identityOf(file) };
  }

  /** How much of the CRI log was written after the position was last kept. */
  async #written(known: Position): Promise<number> {
    const path = await findByIdentity(this.#paths.target, known.target);
    if (path === undefined) return 0;
    return Math.max(0, (await stat(path)).size - known.targetSize);
  }

  async #recall(): Promise<Position | undefined> {
    const buffer = Buffer.alloc(POSITION_BYTES);
    const { bytesRead } = (await this.#position?.read(buffer, 0, POSITION_BYTES, 0)) ?? { bytesRead: 0 };
    try {
      return JSON.parse(buffer.toString("utf8", 0, bytesRead).trim()) as Position;
    } catch {
      return undefined; // New, or cut short by a power failure: the container died of it too.
    }
  }

  /** One write of a fixed length: it is there as a whole or not at all, whatever kills us. */
  async #remember(): Promise<void> {
    if (this.#source === undefined || this.#target === undefined) return;
    const position: Position = {
      source: this.#source.identity,
      offset: this.#offset,
      target: this.#target.identity,
      targetSize: this.#target.size,
    };
    await this.#position?.write(JSON.stringify(position).padEnd(POSITION_BYTES), 0);
  }

  async #openTarget() {
    const file = await open(this.#paths.target, "a", 0o640);
    this.#target = { file, identity: await identityOf(file), size: (await file.stat()).size };
    return this.#target;
  }

  async #readToEnd(): Promise<void> {
    const source = this.#source;
    if (source === undefined) return;
    let buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await source.file.read(buffer, 0, buffer.length, this.#offset);
      if (bytesRead === 0) return;
      const { text, consumed } = convertLines(buffer.subarray(0, bytesRead));
      if (consumed === 0) {
        // Half a line at the end, or one that is longer than the buffer.
        if (bytesRead < buffer.length || buffer.length >= MAX_LINE_BYTES) return;
        buffer = Buffer.allocUnsafe(buffer.length * 4);
        continue;
      }
      await this.#append(text);
      this.#offset += consumed;
      await this.#remember();
    }
  }

  async #append(text: Buffer): Promise<void> {
    const target = this.#target ?? (await this.#openTarget());
    const skipped = Math.min(this.#skip, text.length);
    let rest = text.subarray(skipped);
    try {
      while (rest.length > 0) {
        const { bytesWritten } = await target.file.write(rest);
        target.size += bytesWritten;
        rest = rest.subarray(bytesWritten);
      }
      this.#skip -= skipped;
    } catch (error) {
      // A full disk: what did get through must not be written again by the next attempt at the same lines.
      this.#skip = text.length - rest.length;
      throw error;
    }
  }

  /** After Docker's rotation: the file that came after the one just read. False when there is none yet. */
  async #nextSource(): Promise<boolean> {
    const sources = await sourcesOf(this.#paths.source);
    const identities = await Promise.all(sources.map(identityIfThere));
    const here = identities.indexOf(this.#source?.identity);
    // Not there any more: it was rotated out while we read it, and the oldest of the rest comes next.
    const next = sources[here + 1];
    if (next === undefined || identities[here + 1] === undefined) return false;
    const file = await open(next, "r").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (file === undefined) return true; // Renamed between the list and the open: look again.
    await this.#source?.file.close();
    this.#source = { file, identity: await identityOf(file) };
    this.#offset = 0;
    await this.#remember();
    return true;
  }
}
