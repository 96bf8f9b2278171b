import assert from "node:assert/strict";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { type Duplex, duplexPair } from "node:stream";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeHeaders, encodeHeaders, type Headers, HpackError } from "./hpack.ts";
import { Http2Connection, type Http2Error } from "./http2-connection.ts";
import { CODE, FLAG, FRAME, frameOf, numberFrame, settingsFrame } from "./http2-frames.ts";

const BLOCK = encodeHeaders([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/a"],
  [":authority", "x"],
]);

interface Answer {
  readonly headers: Headers[];
  readonly body: Buffer;
}

interface Fixture {
  readonly connection: Http2Connection;
  readonly closed: Promise<Error | undefined>;
  readonly drained: Promise<void>;
  ask(body: Buffer): Promise<Answer>;
}

/** A client on one end of a pipe. */
function connect(socket: Duplex): Fixture {
  const closed = Promise.withResolvers<Error | undefined>();
  const drained = Promise.withResolvers<void>();
  const connection = new Http2Connection(socket, { draining: drained.resolve, closed: closed.resolve });
  const ask = (body: Buffer) =>
    new Promise<Answer>((resolve, reject) => {
      const headers: Headers[] = [];
      const chunks: Buffer[] = [];
      connection.request(BLOCK, body, true, {
        headers: (one) => void headers.push(one),
        data: (chunk) => void chunks.push(Buffer.from(chunk)),
        end: () => resolve({ headers, body: Buffer.concat(chunks) }),
        failed: reject,
      });
    });
  return { connection, closed: closed.promise, drained: drained.promise, ask };
}

/** A client and Node's own server, without a network between them. */
function withServer(
  serve: (stream: ServerHttp2Stream) => void,
  options: object = {},
): Fixture & { server: Http2Server } {
  const server = createServer({ settings: { enableConnectProtocol: false }, ...options });
  server.on("stream", serve);
  const [here, there] = duplexPair();
  server.emit("connection", there);
  return { ...connect(here), server };
}

/** Sends back what it gets, between headers and trailers. */
function echo(stream: ServerHttp2Stream): void {
  stream.on("error", () => {});
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.pipe(stream);
}

describe("Http2Connection with Node's server", () => {
  for (const size of [0, 1, 16_384, 16_385, 65_536, 3_000_000]) {
    test(`request() sends ${size} bytes and gets them back, with headers and trailers`, async () => {
      const { connection, ask } = withServer(echo);
      const body = Buffer.alloc(size, "knarr");
      const answer = await ask(body);
      assert.deepEqual(answer.headers.map((one) => ({ ...one }))[0]?.[":status"], "200");
      assert.equal(answer.headers.at(-1)?.["grpc-status"], "0");
      assert.ok(answer.body.equals(body));
      connection.destroy();
    });
  }

  test("request() shares the connection's window among many bodies", async () => {
    const { connection, ask } = withServer(echo);
    const bodies = Array.from({ length: 60 }, (_, i) => Buffer.alloc(20_000, `body ${i}`));
    const answers = await Promise.all(bodies.map(ask));
    assert.ok(answers.every(({ body }, i) => body.equals(bodies[i] ?? Buffer.alloc(0))));
    connection.destroy();
  });

  test("request() brings answers beyond both windows", async () => {
    const chunk = Buffer.alloc(1024 * 1024, "x");
    const { connection, ask } = withServer((stream) => {
      stream.respond({ ":status": 200 });
      for (let i = 0; i < 80; i++) stream.write(chunk);
      stream.end();
    });
    assert.equal((await ask(Buffer.from("?"))).body.length, 80 * chunk.length);
    connection.destroy();
  });

  test("request() begins no more streams than the peer allows, and all in the end", async () => {
    let most = 0;
    let now = 0;
    const { connection, ask } = withServer(
      (stream) => {
        most = Math.max(most, ++now);
        stream.on("close", () => now--);
        echo(stream);
      },
      { settings: { maxConcurrentStreams: 3 } },
    );
    // The limit is known with the first answer.
    await ask(Buffer.from("first"));
    most = 0;
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(Buffer.from(`body ${i}`))));
    assert.deepEqual(
      answers.map(({ body }) => String(body)),
      Array.from({ length: 40 }, (_, i) => `body ${i}`),
    );
    assert.ok(most <= 3, `${most} at once`);
    connection.destroy();
  });

  test("headers are read whatever Huffman makes of them", async () => {
    const text = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)) });
    await fc.assert(
      fc.asyncProperty(text, async (value) => {
        const { connection, ask } = withServer((stream) => {
          stream.respond({ ":status": 200, "grpc-message": value, "x-own": `${value}=${value}` }, { endStream: true });
        });
        const { headers } = await ask(Buffer.from("?"));
        assert.equal(headers[0]?.["grpc-message"], value);
        assert.equal(headers[0]?.["x-own"], `${value}=${value}`);
        connection.destroy();
      }),
      { numRuns: 50 },
    );
  });

  test("cancel() resets the stream at the peer and lets the others be", async () => {
    const reset = Promise.withResolvers<number>();
    const { connection, ask } = withServer((stream) => {
      stream.on("error", () => {});
      stream.on("close", () => reset.resolve(stream.rstCode ?? 0));
    });
    const stream = connection.request(BLOCK, Buffer.from("?"), true, {
      headers: () => assert.fail("told of headers"),
      data: () => assert.fail("told of data"),
      end: () => assert.fail("told of its end"),
      failed: () => assert.fail("told of its failure"),
    });
    const other = ask(Buffer.from("?"));
    setImmediate(() => connection.cancel(stream));
    assert.equal(await reset.promise, CODE.cancel);
    connection.destroy(new Error("enough"));
    await assert.rejects(other, { name: "Http2Error", isUnprocessed: false });
  });

  test("pause() holds back what comes until resume(), its end included", async () => {
    const { connection } = withServer(echo);
    const story: string[] = [];
    const ended = Promise.withResolvers<void>();
    const stream = connection.request(BLOCK, Buffer.from("one"), true, {
      headers: (headers) => void story.push("grpc-status" in headers ? "trailers" : "headers"),
      data: (chunk) => void story.push(String(chunk)),
      end: () => ended.resolve(),
      failed: ended.reject,
    });
    connection.pause(stream);
    // A later request is answered later: then the answer to the first has come, too.
    const later = Promise.withResolvers<void>();
    connection.request(BLOCK, Buffer.from("two"), true, {
      ...{ headers: () => {}, data: () => {}, end: later.resolve, failed: later.reject },
    });
    await later.promise;
    assert.deepEqual(story, []);
    connection.resume(stream);
    await ended.promise;
    assert.deepEqual(story, ["headers", "one", "trailers"]);
    connection.destroy();
  });
});

/** A client whose peer is the test itself, frame by frame. */
function withPeer() {
  const [here, there] = duplexPair();
  const fixture = connect(here);
  there.resume();
  const error = Promise.withResolvers<Http2Error>();
  const open = (body = Buffer.from("?")) =>
    fixture.connection.request(BLOCK, body, true, {
      ...{ headers: () => {}, data: () => {}, end: () => {}, failed: error.resolve },
    });
  return { ...fixture, peer: there, open, failed: error.promise };
}

const goaway = (last: number) => {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(last);
  return frameOf(FRAME.goaway, 0, 0, payload);
};
const status200 = Buffer.from([0x88]);

describe("Http2Connection with a peer that", () => {
  const breaches: readonly [string, Buffer][] = [
    ["sends a frame beyond the limit", frameOf(FRAME.data, 0, 1, Buffer.alloc(16_385))],
    ["answers what was not asked", frameOf(FRAME.headers, FLAG.endHeaders, 5, status200)],
    ["opens a stream", frameOf(FRAME.headers, FLAG.endHeaders, 2, status200)],
    ["pushes", frameOf(FRAME.push, FLAG.endHeaders, 1, Buffer.alloc(5))],
    ["pads more than there is", frameOf(FRAME.data, FLAG.padded, 1, Buffer.from([9, 1]))],
    ["continues no headers", frameOf(FRAME.continuation, FLAG.endHeaders, 1, status200)],
    [
      "interrupts its headers",
      Buffer.concat([frameOf(FRAME.headers, 0, 1, status200), frameOf(FRAME.ping, 0, 0, Buffer.alloc(8))]),
    ],
    ["uses a table of headers", frameOf(FRAME.headers, FLAG.endHeaders, 1, Buffer.from([0xbe]))],
    ["sends half a header", frameOf(FRAME.headers, FLAG.endHeaders, 1, Buffer.from([0, 3, 0x61]))],
    ["opens the window too far", numberFrame(FRAME.window, 0, 2 ** 31 - 1)],
    ["sends half a setting", frameOf(FRAME.settings, 0, 0, Buffer.alloc(5))],
    ["sends half a ping", frameOf(FRAME.ping, 0, 0, Buffer.alloc(4))],
    ["sends half a GOAWAY", frameOf(FRAME.goaway, 0, 0, Buffer.alloc(4))],
    ["resets with half a code", frameOf(FRAME.reset, 0, 1, Buffer.alloc(2))],
  ];
  for (const [what, bytes] of breaches) {
    test(`${what} loses the connection, and the request is in doubt`, async () => {
      const { peer, open, closed, failed } = withPeer();
      open();
      peer.write(bytes);
      assert.ok((await closed) instanceof Error);
      assert.equal((await failed).isUnprocessed, false);
    });
  }

  test("sends GOAWAY: what it has not taken is unprocessed, what it has is answered, then the connection closes", async () => {
    const { peer, open, ask, connection, drained, closed, failed } = withPeer();
    const taken = ask(Buffer.from("taken"));
    open();
    peer.write(goaway(1));
    await drained;
    assert.equal(connection.isOpen, false);
    assert.equal((await failed).isUnprocessed, true);
    peer.write(frameOf(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, status200));
    assert.equal((await taken).headers[0]?.[":status"], "200");
    assert.equal(await closed, undefined);
  });

  const resets: readonly [string, number, boolean][] = [
    ["refuses", CODE.refused, true],
    ["resets", CODE.protocol, false],
  ];
  for (const [what, code, isUnprocessed] of resets) {
    test(`${what} a stream: that request is ${isUnprocessed ? "unprocessed" : "in doubt"}, the connection stays`, async () => {
      const { peer, open, connection, failed } = withPeer();
      open();
      setImmediate(() => peer.write(numberFrame(FRAME.reset, 1, code)));
      assert.equal((await failed).isUnprocessed, isUnprocessed);
      assert.equal(connection.isOpen, true);
      connection.destroy();
    });
  }

  test("closes without a word leaves requests in doubt, and those that had not begun unprocessed", async () => {
    const { peer, open, connection, closed, ask } = withPeer();
    peer.write(settingsFrame([[3, 1]]));
    await new Promise((resolve) => setImmediate(resolve));
    const begun = ask(Buffer.from("begun"));
    const waiting = ask(Buffer.from("waiting"));
    open();
    peer.destroy();
    connection.destroy();
    await assert.rejects(begun, { isUnprocessed: false });
    await assert.rejects(waiting, { isUnprocessed: true });
    await closed;
  });

  test("answers in frames of every size is understood", async () => {
    const { peer, ask, connection } = withPeer();
    const answer = ask(Buffer.from("?"));
    const block = Buffer.concat([Buffer.from([0x20]), status200, encodeHeaders([["grpc-status", "0"]])]);
    const bytes = Buffer.concat([
      settingsFrame([]),
      frameOf(FRAME.headers, FLAG.padded | FLAG.priority, 1, Buffer.from([2, 0, 0, 0, 0, 0, 0x88, 0, 0])),
      frameOf(FRAME.continuation, FLAG.endHeaders, 1, Buffer.alloc(0)),
      frameOf(0x42, 0xff, 1, Buffer.from("unknown")),
      frameOf(FRAME.data, FLAG.padded, 1, Buffer.from([1, 0x61, 0x62, 0])),
      frameOf(FRAME.data, 0, 1, Buffer.from("c")),
      frameOf(FRAME.headers, 0, 1, block.subarray(0, 4)),
      frameOf(FRAME.continuation, 0, 1, block.subarray(4, 9)),
      frameOf(FRAME.continuation, FLAG.endHeaders, 1, block.subarray(9)),
      frameOf(FRAME.data, FLAG.endStream, 1, Buffer.from("d")),
    ]);
    for (const byte of bytes) peer.write(Buffer.from([byte]));
    const { headers, body } = await answer;
    assert.equal(String(body), "abcd");
    assert.equal(headers.at(-1)?.["grpc-status"], "0");
    connection.destroy();
  });
});

describe("decodeHeaders()", () => {
  test("reads what RFC 7541 C.4.1 shows", () => {
    const block = Buffer.from("828684418cf1e3c2e5f23a6ba0ab90f4ff", "hex");
    assert.deepEqual(
      { ...decodeHeaders(block) },
      {
        ":method": "GET",
        ":scheme": "http",
        ":path": "/",
        ":authority": "www.example.com",
      },
    );
  });

  test("reads what encodeHeaders() wrote, long values too", () => {
    for (const length of [0, 1, 126, 127, 128, 254, 255, 20_000]) {
      const value = "v".repeat(length);
      assert.deepEqual({ ...decodeHeaders(encodeHeaders([["a", value]])) }, { a: value });
    }
  });

  const bad: readonly [string, string][] = [
    ["a table of some size", "3fe11f"],
    ["an index of zero", "80"],
    ["an index beyond the table", "ff8001"],
    ["a number without end", "ff8080808080808080808080808080"],
    ["a text that is cut off", "000161ff"],
    ["Huffman code that is none", "000161827fff"],
    ["Huffman padding of a byte", "00016182ffff"],
  ];
  for (const [what, hex] of bad) {
    test(`throws at ${what}`, () => {
      assert.throws(() => decodeHeaders(Buffer.from(hex, "hex")), HpackError);
    });
  }

  test("throws nothing but HpackError, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeHeaders(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof HpackError);
        }
      }),
    );
  });
});
