/**
 * A request that came over HTTP/2, with the members of IncomingMessage that handlers use. Node.js's own compatibility classes build two
 * more streams around every HTTP/2 stream, which costs about as much as the rest of a small request; here the stream itself is the body,
 * and the response.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

export class Http2Request {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: string[];
  readonly httpVersionMajor = 2;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: string[]) {
    this.stream = stream;
    this.headers = headers;
    this.rawHeaders = rawHeaders;
  }

  get method(): string {
    return this.headers[":method"] ?? "GET";
  }

  get url(): string {
    return this.headers[":path"] ?? "/";
  }

  /** Its TLS connection; not for reading or writing. */
  get socket() {
    return this.stream.session?.socket;
  }

  /** Whether the whole body has arrived, or never will. */
  get complete(): boolean {
    return this.stream.readableEnded || this.stream.destroyed || this.stream.endAfterHeaders;
  }

  resume(): void {
    this.stream.resume();
  }

  pipe<T extends NodeJS.WritableStream>(destination: T): T {
    return this.stream.pipe(destination);
  }
}
