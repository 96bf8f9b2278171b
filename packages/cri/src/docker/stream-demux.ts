/**
 * Takes Docker's multiplexed streams apart. Pure. A frame is its stream (1 stdout, 2 stderr), three zero bytes, a length of
 * four bytes and the data. Source: Docker Engine API, "Attach to a container", "Stream format"
 */

export interface DemuxedPart {
  readonly stream: "stdout" | "stderr";
  readonly data: Buffer;
}

const HEAD = 8;
const STDERR = 2;

export class StreamDemux {
  #rest: Buffer = Buffer.alloc(0);

  /** The parts that are complete now. */
  push(chunk: Buffer): DemuxedPart[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const parts: DemuxedPart[] = [];
    while (this.#rest.length >= HEAD) {
      const end = HEAD + this.#rest.readUInt32BE(4);
      if (this.#rest.length < end) break;
      parts.push({ stream: this.#rest[0] === STDERR ? "stderr" : "stdout", data: this.#rest.subarray(HEAD, end) });
      this.#rest = this.#rest.subarray(end);
    }
    return parts;
  }
}
