/**
 * Sends a long answer as a sequence of pieces that are copied into chunks of fixed size, each written when it is full and the client has
 * taken the one before: what a list costs in memory does not depend on its length. Chunks come from a pool that all answers share, because
 * fresh memory of this size costs more than the copying.
 */
import type { RequestContext } from "./request-context.ts";

/** Large enough for full TLS records, small enough to interleave with other answers. */
const CHUNK_BYTES = 256 * 1024;
/** Chunks kept for the next answers. */
const MAX_POOLED = 8;

const pool: Buffer[] = [];

export class ChunkWriter {
  readonly #context: RequestContext;
  readonly #start: (firstBytes: number, isWhole: boolean) => NodeJS.WritableStream;
  #chunk: Buffer = chunkOf(pool);
  #at = 0;
  /** The chunk that is under way, while the other one is filled. */
  #sent: Buffer | undefined;
  /** False once the client is gone. */
  #taken: Promise<boolean> = Promise.resolve(true);
  #sink: NodeJS.WritableStream | undefined;

  /** `start` sends the headers and says where the bytes go; it is told how many there are so far, and whether these are all. */
  constructor(context: RequestContext, start: (firstBytes: number, isWhole: boolean) => NodeJS.WritableStream) {
    this.#context = context;
    this.#start = start;
  }

  /** Takes the bytes of `piece` from an offset on. False when there is no room for them: `putAll` makes room. */
  put(piece: Buffer, from = 0): boolean {
    if (this.#at + piece.length - from > CHUNK_BYTES) return false;
    this.#at += piece.copy(this.#chunk, this.#at, from);
    return true;
  }

  /** As `put`, for pieces of any size, writing where needed. False when the client is gone. */
  async putAll(piece: Buffer, from = 0): Promise<boolean> {
    if (this.put(piece, from)) return true;
    if (!(await this.#flush())) return false;
    if (this.put(piece, from)) return true;
    // Larger than a chunk: written as it is; it must not change until it is sent.
    return await this.#write(piece.subarray(from));
  }

  /** Writes the rest and ends the answer. */
  async end(): Promise<void> {
    const { response, method } = this.#context;
    if (this.#sink !== undefined && !(await this.#taken)) return;
    this.#sink ??= this.#start(this.#at, true);
    const [chunk, sent] = [this.#chunk, this.#sent];
    if (sent !== undefined) release(sent);
    if (method === "HEAD") response.end(() => release(chunk));
    else this.#sink.end(chunk.subarray(0, this.#at), () => release(chunk));
  }

  async #flush(): Promise<boolean> {
    if (this.#at === 0) return await this.#taken;
    if (!(await this.#write(this.#chunk.subarray(0, this.#at)))) return false;
    [this.#chunk, this.#sent] = [this.#sent ?? chunkOf(pool), this.#chunk];
    this.#at = 0;
    return true;
  }

  /** Waits until what was written before is taken: one write is under way at a time, so that nothing piles up. */
  async #write(bytes: Buffer): Promise<boolean> {
    this.#sink ??= this.#start(this.#at, false);
    if (!(await this.#taken)) return false;
    this.#taken = written(this.#context, this.#sink, bytes);
    return true;
  }
}

function chunkOf(chunks: Buffer[]): Buffer {
  return chunks.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
}

function release(chunk: Buffer): void {
  if (pool.length < MAX_POOLED) pool.push(chunk);
}

/** Resolves true when `bytes` are used up, false when the client is gone. */
function written(context: RequestContext, sink: NodeJS.WritableStream, bytes: Buffer): Promise<boolean> {
  const { signal } = context;
  return new Promise((resolve) => {
    const onAbort = () => resolve(false);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) return resolve(false);
    sink.write(bytes, (error) => {
      signal.removeEventListener("abort", onAbort);
      resolve(error === undefined || error === null);
    });
  });
}

/** Resolves true when the sink takes more, false when the client is gone. */
export function drained(context: RequestContext, sink: NodeJS.WritableStream): Promise<boolean> {
  const { signal } = context;
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const done = (open: boolean) => {
      sink.removeListener("drain", onDrain);
      signal.removeEventListener("abort", onAbort);
      resolve(open);
    };
    const onDrain = () => done(true);
    const onAbort = () => done(false);
    sink.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
