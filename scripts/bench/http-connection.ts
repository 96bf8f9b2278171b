/**
 * One keep-alive HTTP/1.1 connection over TLS that costs its process little: a request is a ready Buffer, of the answer
 * only the status and the end are looked for. One request at a time. For load generation: node:https as client takes
 * about as much CPU as a node:https server does, and both would fight for the same cores.
 */
import { connect, type TLSSocket } from "node:tls";

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}
export interface HttpAnswer {
  readonly status: number;
  /** Of the body, without chunk framing. */
  readonly bodyBytes: number;
  /** The body's first bytes: enough to show a Status. */
  readonly start: string;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const NOTHING = Buffer.alloc(0);
const START_BYTES = 400;

export class HttpConnection {
  readonly #socket: TLSSocket;
  #waiting: { resolve(answer: HttpAnswer): void; reject(error: Error): void } | undefined;
  #failure: Error | undefined;
  /** Head of the answer that is arriving; undefined until it is complete. */
  #head: { readonly status: number; readonly chunked: boolean } | undefined;
  /** Bytes not understood yet: a part of the head or of a chunk's size line. */
  #rest: Buffer = NOTHING;
  /** Bytes to come of the body or, with #skip more for its line end, of the chunk. */
  #remaining = 0;
  #bodyBytes = 0;
  #start = "";

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  static open({ host, port, ca, cert, key }: HttpTarget): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, ca, cert, key, ALPNProtocols: ["http/1.1"] });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        socket.removeListener("error", reject);
        socket.setNoDelay(true);
        resolve(new HttpConnection(socket));
      });
    });
  }

  /** Sends a whole request. Rejects when the connection is lost; it is of no use then. */
  send(request: Buffer): Promise<HttpAnswer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }

  #take(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = NOTHING;
    if (this.#head === undefined) {
      const end = bytes.indexOf(HEAD_END);
      if (end === -1) {
        this.#rest = bytes;
        return;
      }
      this.#readHead(bytes.toString("latin1", 0, end));
      bytes = bytes.subarray(end + HEAD_END.length);
    }
    if (this.#head?.chunked === true) this.#takeChunks(bytes);
    else {
      this.#count(bytes);
      this.#remaining -= bytes.length;
      if (this.#remaining <= 0) this.#finish();
    }
  }

  #readHead(text: string): void {
    const length = /^content-length: *(\d+)/im.exec(text)?.[1];
    const chunked = /^transfer-encoding: *chunked/im.test(text);
    if (length === undefined && !chunked) this.#socket.destroy(new Error("an answer without length"));
    this.#head = { status: Number(text.slice(9, 12)), chunked };
    this.#remaining = Number(length ?? 0);
    this.#bodyBytes = 0;
    this.#start = "";
  }

  /** "1a\r\n" 26 bytes "\r\n" ... "0\r\n\r\n"; #remaining counts a chunk's bytes with the line end behind them. */
  #takeChunks(all: Buffer): void {
    let bytes = all;
    while (bytes.length > 0) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, bytes.length);
        this.#count(bytes.subarray(0, Math.max(0, Math.min(taken, this.#remaining - 2))));
        this.#remaining -= taken;
        bytes = bytes.subarray(taken);
        continue;
      }
      const end = bytes.indexOf("\r\n");
      const size = end === -1 ? -1 : Number.parseInt(bytes.toString("latin1", 0, end), 16);
      if (size === -1 || (size === 0 && bytes.length < end + 4)) {
        this.#rest = bytes;
        return;
      }
      if (size === 0) return this.#finish();
      this.#remaining = size + 2;
      bytes = bytes.subarray(end + 2);
    }
  }

  #count(bytes: Buffer): void {
    if (this.#start.length < START_BYTES) this.#start += bytes.toString("latin1", 0, START_BYTES - this.#start.length);
    this.#bodyBytes += bytes.length;
  }

  #finish(): void {
    const answer = { status: this.#head?.status ?? 0, bodyBytes: this.#bodyBytes, start: this.#start };
    const waiting = this.#waiting;
    this.#head = undefined;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }
}

/** An HTTP/1.1 request as bytes. */
export function renderRequest(method: string, path: string, body?: string): Buffer {
  const content =
    body === undefined ? "" : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(
    `${method} ${path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n${content}\r\n${body ?? ""}`,
  );
}
