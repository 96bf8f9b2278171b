/**
 * Cuts a byte stream into lines without copying what came before again: chunks of an unfinished line are kept in a list
 * and joined once, when its newline arrives.
 *
 * Example: push("ab") -> [], push("c\nd\n\ne") -> ["abc", "d"], pendingBytes -> 1 ("e").
 */
const NEWLINE = 0x0a;

export class LineSplitter {
  readonly #maxLineBytes: number;
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(maxLineBytes = 512 * 1024 * 1024) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Bytes of the line that has no end yet. */
  get pendingBytes(): number {
    return this.#partBytes;
  }

  /** The lines that `chunk` finishes, without their newline; empty lines are left out. Throws RangeError past the limit. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const tail = chunk.subarray(start, end);
      start = end + 1;
      if (this.#partBytes === 0) {
        if (tail.length > 0) lines.push(tail);
        continue;
      }
      this.#parts.push(tail);
      lines.push(Buffer.concat(this.#parts));
      this.#parts = [];
      this.#partBytes = 0;
    }
    if (start < chunk.length) {
      const rest = chunk.subarray(start);
      this.#parts.push(rest);
      this.#partBytes += rest.length;
      if (this.#partBytes > this.#maxLineBytes) throw new RangeError(`line longer than ${this.#maxLineBytes} bytes`);
    }
    return lines;
  }
}
