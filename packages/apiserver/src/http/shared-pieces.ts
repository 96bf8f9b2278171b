/**
 * What many watchers send in the same turn of the event loop, put together once: several frames as one piece and, for HTTP/1.1, with the
 * chunk around it. Node.js would write length, bytes and line end of every chunk for each of them anew.
 */

/** Ends a chunked body. Source: RFC 9112 7.1 */
export const LAST_CHUNK: Buffer = Buffer.from("0\r\n\r\n");
const LINE_END = Buffer.from("\r\n");

export class SharedPieces {
  readonly #soon: (forget: () => void) => void;
  #frames: readonly Buffer[] = [];
  #isChunk = false;
  #piece: Buffer | undefined;

  /** `soon` calls back when the turn is over: nothing is kept for longer. */
  constructor(soon: (forget: () => void) => void = setImmediate) {
    this.#soon = soon;
  }

  /** The frames one after the other, as a chunk if asked for; must not be changed. */
  of(frames: readonly Buffer[], isChunk: boolean): Buffer {
    const [first] = frames;
    if (frames.length === 1 && first !== undefined && !isChunk) return first;
    if (this.#piece !== undefined && isChunk === this.#isChunk && areSame(frames, this.#frames)) return this.#piece;
    if (this.#piece === undefined) this.#soon(this.#forget);
    this.#piece = isChunk ? chunkOf(frames) : Buffer.concat(frames);
    this.#frames = frames;
    this.#isChunk = isChunk;
    return this.#piece;
  }

  readonly #forget = (): void => {
    this.#piece = undefined;
    this.#frames = [];
  };
}

function areSame(some: readonly Buffer[], others: readonly Buffer[]): boolean {
  if (some.length !== others.length) return false;
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false;
  return true;
}

/** Not empty: an empty chunk would end the body. */
function chunkOf(frames: readonly Buffer[]): Buffer {
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  return Buffer.concat([Buffer.from(`${bytes.toString(16)}\r\n`), ...frames, LINE_END]);
}
