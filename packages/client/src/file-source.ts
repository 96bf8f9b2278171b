/**
 * A file whose current content is asked for often and changes rarely: read again only when its modification time, size
 * or inode differ, and looked at only every `recheckMs`.
 */
import { readFile, stat } from "node:fs/promises";
import type { Clock } from "@knarr/daemon/clock.ts";

const RECHECK_MS = 10_000;

export class FileSource {
  readonly path: string;
  readonly #clock: Clock;
  readonly #recheckMs: number;
  #content: Buffer | undefined;
  #stamp = "";
  #checkedAtMs = Number.NEGATIVE_INFINITY;

  constructor(path: string, clock: Clock, recheckMs = RECHECK_MS) {
    this.path = path;
    this.#clock = clock;
    this.#recheckMs = recheckMs;
  }

  /** The content; the same Buffer until the file changed. Keeps the old one while the file can't be read again. */
  async read(): Promise<Buffer> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#content !== undefined && nowMs - this.#checkedAtMs < this.#recheckMs) return this.#content;
    try {
      const { mtimeMs, size, ino } = await stat(this.path);
      const stamp = `${mtimeMs}/${size}/${ino}`;
      if (this.#content === undefined || stamp !== this.#stamp) {
        this.#content = await readFile(this.path);
        this.#stamp = stamp;
      }
    } catch (error) {
      // A rotation in progress: the file is back by the next look. Only the first read must succeed.
      if (this.#content === undefined) throw error;
    }
    this.#checkedAtMs = nowMs;
    return this.#content;
  }

  /** Makes the next `read` look at the file at once. */
  invalidate(): void {
    this.#checkedAtMs = Number.NEGATIVE_INFINITY;
  }
}
