/** One question to one upstream server and its answer, over UDP or TCP. Source: RFC 1035 4.2, RFC 5452 (what must match) */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { flagBits } from "../core/codes.ts";

export interface Upstream {
  readonly host: string;
  readonly port: number;
}

/** The server did not answer in time, or could not be reached. Worth trying another one. */
export class UpstreamError extends Error {
  override readonly name: string = "UpstreamError";
}

/** A port of its own for every question: together with the random id it makes answers hard to forge. */
export function exchangeUdp(upstream: Upstream, query: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(upstream.host) ? "udp6" : "udp4");
    let open = true;
    const finish = (result: Buffer | UpstreamError) => {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      socket.close();
      if (result instanceof UpstreamError) reject(result);
      else resolve(result);
    };
    const failed = (error: Error) => finish(new UpstreamError(`can't ask ${upstream.host}`, { cause: error }));
    const timer = setTimeout(() => finish(new UpstreamError(`no answer from ${upstream.host}`)), timeoutMs);
    socket.on("error", failed);
    // Answers to something else are forgeries or late: the right one may still come.
    socket.on("message", (answer) => {
      if (isAnswerTo(query, answer)) finish(answer);
    });
    socket.once("connect", () => {
      if (open) socket.send(query, (error) => error && failed(error));
    });
    socket.connect(upstream.port, upstream.host);
  });
}

export function exchangeTcp(upstream: Upstream, query: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: upstream.host, port: upstream.port });
    let received: Buffer = Buffer.alloc(0);
    const finish = (result: Buffer | UpstreamError) => {
      clearTimeout(timer);
      socket.destroy();
      if (result instanceof UpstreamError) reject(result);
      else resolve(result);
    };
    const timer = setTimeout(() => finish(new UpstreamError(`no answer from ${upstream.host} over TCP`)), timeoutMs);
    socket.once("error", (error) => finish(new UpstreamError(`can't reach ${upstream.host}`, { cause: error })));
    socket.once("end", () => finish(new UpstreamError(`${upstream.host} closed the connection`)));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const answer = received.subarray(2, 2 + received.readUInt16BE(0));
      finish(isAnswerTo(query, answer) ? answer : new UpstreamError(`${upstream.host} answered something else`));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
  });
}

/** Same id, an answer, the same question: names in any case, since some servers write them back in small letters. */
function isAnswerTo(query: Buffer, answer: Buffer): boolean {
  if (answer.length < 12 || answer.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  if ((answer.readUInt16BE(2) & flagBits.QR) === 0) return false;
  if (answer.readUInt16BE(4) === 0) return (answer.readUInt16BE(2) & flagBits.RCODE) !== 0;
  let end = 12;
  for (let length = query[end] ?? 0; length > 0; length = query[end] ?? 0) end += 1 + length;
  const nameOf = (message: Buffer) => message.toString("latin1", 12, end + 1).toLowerCase();
  const typeAndClassOf = (message: Buffer) => message.subarray(end + 1, end + 5);
  return nameOf(query) === nameOf(answer) && typeAndClassOf(query).equals(typeAndClassOf(answer));
}
