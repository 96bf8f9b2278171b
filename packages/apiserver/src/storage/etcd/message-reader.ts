/** Cuts a stream of bytes into gRPC messages: one byte of flags, four of length, the message. */
import { StorageError } from "../storage-error.ts";

const HEADER_BYTES = 5;

export class MessageReader {
  readonly #onMessage: (message: Buffer) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes of header and message together, once the header is there. */
  #wanted = HEADER_BYTES;

  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** Messages are views on `chunk` where they lie in one. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= this.#wanted) {
      const all = this.#joined();
      const length = HEADER_BYTES + all.readUInt32BE(1);
      if (all[0] !== 0) throw new StorageError("internal", "etcd sent a compressed message");
      this.#wanted = length;
      if (all.length < length) return;
      this.#wanted = HEADER_BYTES;
      this.#bytes = all.length - length;
      this.#chunks = this.#bytes === 0 ? [] : [all.subarray(length)];
      this.#onMessage(all.subarray(HEADER_BYTES, length));
    }
  }

  #joined(): Buffer {
    const [only] = this.#chunks;
    if (this.#chunks.length === 1 && only !== undefined) return only;
    const all = Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [all];
    return all;
  }
}
