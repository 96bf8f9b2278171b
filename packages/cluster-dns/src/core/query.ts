/**
 * Reads a query from the wire, however malformed, without allocating more than its key. Source: RFC 1035 4.1, RFC 6891
 */
import { flagBits, HEADER_BYTES, PLAIN_UDP_BYTES, type Rcode, rcodes, types } from "./codes.ts";
import { MAX_NAME_BYTES } from "./name.ts";

export interface Query {
  readonly id: number;
  readonly flags: number;
  /** The lowercased wire name as a Map key. */
  readonly key: string;
  /** Offsets of the labels in the key, without the root's. */
  readonly labels: readonly number[];
  readonly type: number;
  readonly class: number;
  /** Header and question as received, the case of the name kept: answers repeat it. */
  readonly question: Buffer;
  readonly edns: { readonly udpBytes: number; readonly dnssecOk: boolean } | undefined;
}

export type ParsedQuery =
  | { readonly kind: "query"; readonly query: Query }
  /** To be answered with this code and no question understood. */
  | { readonly kind: "refuse"; readonly rcode: Rcode; readonly id: number; readonly flags: number }
  /** Too short to have an id, or itself an answer: answering could loop. */
  | { readonly kind: "drop" };

const scratch = Buffer.alloc(MAX_NAME_BYTES);

export function parseQuery(message: Buffer): ParsedQuery {
  if (message.length < HEADER_BYTES) return { kind: "drop" };
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  if ((flags & flagBits.QR) !== 0) return { kind: "drop" };
  const refuse = (rcode: Rcode): ParsedQuery => ({ kind: "refuse", rcode, id, flags });
  if ((flags & flagBits.OPCODE) !== 0) return refuse(rcodes.NOTIMP);
  if (message.readUInt16BE(4) !== 1) return refuse(rcodes.FORMERR);
  const labels: number[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    const used = at - HEADER_BYTES;
    // A first question has nothing before it to point to, so compression is an error here.
    if (length === undefined || length > 63 || used + length + 1 > MAX_NAME_BYTES) return refuse(rcodes.FORMERR);
    scratch[used] = length;
    at++;
    if (length === 0) break;
    labels.push(used);
    if (at + length > message.length) return refuse(rcodes.FORMERR);
    for (const end = at + length; at < end; at++) {
      const byte = message[at] as number;
      scratch[at - HEADER_BYTES] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    }
  }
  if (at + 4 > message.length) return refuse(rcodes.FORMERR);
  const edns = findEdns(message, at + 4);
  if (typeof edns === "number") return refuse(edns);
  const query: Query = {
    id,
    flags,
    key: scratch.toString("latin1", 0, at - HEADER_BYTES),
    labels,
    type: message.readUInt16BE(at),
    class: message.readUInt16BE(at + 2),
    question: message.subarray(0, at + 4),
    edns,
  };
  return { kind: "query", query };
}

/** The OPT record among the records after the question, or the code to refuse with. */
function findEdns(message: Buffer, start: number): Query["edns"] | Rcode {
  const records = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10);
  let edns: Query["edns"];
  let at = start;
  for (let i = 0; i < records; i++) {
    const isRoot = message[at] === 0;
    at = skipName(message, at);
    if (at < 0 || at + 10 > message.length) return rcodes.FORMERR;
    const type = message.readUInt16BE(at);
    const dataEnd = at + 10 + message.readUInt16BE(at + 8);
    if (dataEnd > message.length) return rcodes.FORMERR;
    if (type === types.OPT) {
      if (!isRoot || edns !== undefined) return rcodes.FORMERR;
      if (message[at + 5] !== 0) return rcodes.BADVERS;
      const udpBytes = Math.max(PLAIN_UDP_BYTES, message.readUInt16BE(at + 2));
      edns = { udpBytes, dnssecOk: ((message[at + 6] ?? 0) & 0x80) !== 0 };
    }
    at = dataEnd;
  }
  return edns;
}

/** Where the name at `start` ends; negative when it runs out of the message. A pointer ends it. */
export function skipName(message: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined) return -1;
    if (length >= 0xc0) return at + 2 <= message.length ? at + 2 : -1;
    if (length > 63) return -1;
    at += 1 + length;
    if (length === 0) return at;
  }
}
