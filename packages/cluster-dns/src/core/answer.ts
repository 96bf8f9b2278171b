/**
 * Answers to queries. Those about the cluster come from prepared sections: their bytes are the same for everyone who
 * asks for a name, because the header and the question before them have the same length, whatever the case of the name.
 */
import { CLASS_IN, flagBits, HEADER_BYTES, MAX_UDP_BYTES, PLAIN_UDP_BYTES, type Rcode, rcodes } from "./codes.ts";
import { encodeOpt, MessageEncoder, type ResourceRecord } from "./message.ts";
import type { Query } from "./query.ts";

/** The records that answer one name and type, encoded to follow the question. */
export interface Section {
  readonly bytes: Buffer;
  /** Where each answer record ends, and after them each additional one. */
  readonly ends: readonly number[];
  readonly answers: number;
  readonly additionals: number;
  /** Records that don't point into each other may be sent in any order. */
  readonly canRotate: boolean;
}

const NAME_POINTER = Buffer.from([0xc0, HEADER_BYTES]);

/** A record of the asked name; `data` is its RDATA. */
export interface AnswerData {
  readonly type: number;
  readonly ttlSeconds: number;
  readonly data: Buffer;
}

/** Encodes answers for the name that was asked, and additional records, for a question of `questionBytes`. */
export function prepareSection(
  questionBytes: number,
  answers: readonly AnswerData[],
  additionals: readonly ResourceRecord[] = [],
): Section {
  const start = HEADER_BYTES + questionBytes;
  const encoder = new MessageEncoder();
  // Offsets must be those of the whole message for pointers to be right.
  encoder.append(Buffer.alloc(start));
  const ends: number[] = [];
  for (const { type, ttlSeconds, data } of answers) {
    encoder.append(NAME_POINTER);
    encoder.uint16(type);
    encoder.uint16(CLASS_IN);
    encoder.uint32(ttlSeconds);
    encoder.uint16(data.length);
    encoder.append(data);
    ends.push(encoder.length - start);
  }
  for (const record of additionals) {
    encoder.record(record);
    ends.push(encoder.length - start);
  }
  const bytes = Buffer.from(encoder.bytes().subarray(start));
  const canRotate = answers.length > 1 && additionals.length === 0;
  return { bytes, ends, answers: answers.length, additionals: additionals.length, canRotate };
}

/** How large an answer may be: what the client can take over UDP, 64 KiB over TCP. */
export function answerLimit(query: Query, protocol: "udp" | "tcp"): number {
  if (protocol === "tcp") return 65_535;
  return query.edns === undefined ? PLAIN_UDP_BYTES : Math.min(query.edns.udpBytes, MAX_UDP_BYTES);
}

/** The flags of an answer: the client's RD and CD, ours for the rest. */
export function answerFlags(query: Pick<Query, "flags">, rcode: number, authoritative: boolean): number {
  const kept = query.flags & (flagBits.RD | flagBits.CD);
  return flagBits.QR | flagBits.RA | (authoritative ? flagBits.AA : 0) | kept | (rcode & flagBits.RCODE);
}

/**
 * A prepared section as an answer. `turn` rotates the records. When not all fit, additional records go first; then
 * answers, with TC set, so that resolvers that never use TCP still get some.
 */
export function answerPrepared(query: Query, section: Section, limit: number, turn: number): Buffer {
  const { question, edns } = query;
  const room = limit - question.length - (edns === undefined ? 0 : OPT_BYTES);
  let records = section.ends.length;
  while (records > 0 && (section.ends[records - 1] ?? 0) > room) records--;
  const answers = Math.min(records, section.answers);
  const truncated = answers < section.answers;
  // Half of the additional records would look like all of them.
  const additionals = records === section.ends.length ? section.additionals : 0;
  const length = section.ends[answers + additionals - 1] ?? 0;
  const out = Buffer.allocUnsafe(question.length + length + (edns === undefined ? 0 : OPT_BYTES));
  out.set(question);
  let at = question.length;
  if (section.canRotate && !truncated) {
    const from = section.ends[(turn % section.answers) - 1] ?? 0;
    out.set(section.bytes.subarray(from), at);
    out.set(section.bytes.subarray(0, from), at + section.bytes.length - from);
  } else {
    out.set(section.bytes.subarray(0, length), at);
  }
  at += length;
  if (edns !== undefined) out.set(edns.dnssecOk ? OPT_DNSSEC : OPT_PLAIN, at);
  const flags = answerFlags(query, rcodes.NOERROR, true) | (truncated ? flagBits.TC : 0);
  out.writeUInt16BE(flags, 2);
  out.writeUInt16BE(answers, 6);
  out.writeUInt16BE(0, 8);
  out.writeUInt16BE(additionals + (edns === undefined ? 0 : 1), 10);
  return out;
}

const OPT_BYTES = 11;
const OPT_PLAIN = encodeOpt(MAX_UDP_BYTES, { dnssecOk: false, extendedRcode: 0 });
const OPT_DNSSEC = encodeOpt(MAX_UDP_BYTES, { dnssecOk: true, extendedRcode: 0 });

export interface Records {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers?: readonly ResourceRecord[];
  readonly authorities?: readonly ResourceRecord[];
  readonly additionals?: readonly ResourceRecord[];
  /** Was cut already by whom we asked. */
  readonly truncated?: boolean;
}

/** Any records as an answer, names compressed, cut to `limit` as `answerPrepared` does. */
export function answerRecords(query: Query, records: Records, limit: number): Buffer {
  const { question, edns } = query;
  const encoder = new MessageEncoder();
  encoder.append(question.subarray(0, HEADER_BYTES));
  encoder.name(question.subarray(HEADER_BYTES, question.length - 4));
  encoder.append(question.subarray(question.length - 4));
  const room = limit - (edns === undefined ? 0 : OPT_BYTES);
  let truncated = records.truncated === true;
  const write = (list: readonly ResourceRecord[], required: boolean): number => {
    const start = encoder.length;
    let count = 0;
    for (const record of list) {
      const before = encoder.length;
      encoder.record(record);
      if (encoder.length > room) {
        encoder.rewind(required ? before : start);
        if (required) truncated = true;
        return required ? count : 0;
      }
      count++;
    }
    return count;
  };
  const answers = write(records.answers ?? [], true);
  const authorities = truncated ? 0 : write(records.authorities ?? [], true);
  const additionals = truncated ? 0 : write(records.additionals ?? [], false);
  if (edns !== undefined) {
    encoder.append(encodeOpt(MAX_UDP_BYTES, { dnssecOk: edns.dnssecOk, extendedRcode: records.rcode >> 4 }));
  }
  encoder.setFlags(answerFlags(query, records.rcode, records.authoritative) | (truncated ? flagBits.TC : 0));
  encoder.setCounts(answers, authorities, additionals + (edns === undefined ? 0 : 1));
  return encoder.bytes();
}

/** An answer to what could not be read: the header alone, or with OPT where the code needs it. */
export function answerRefusal(refusal: { readonly id: number; readonly flags: number; readonly rcode: Rcode }): Buffer {
  const needsOpt = refusal.rcode > 15;
  const out = Buffer.alloc(HEADER_BYTES + (needsOpt ? OPT_BYTES : 0));
  out.writeUInt16BE(refusal.id, 0);
  const opcode = refusal.flags & flagBits.OPCODE;
  out.writeUInt16BE(flagBits.QR | opcode | (refusal.flags & flagBits.RD) | (refusal.rcode & flagBits.RCODE), 2);
  if (needsOpt) {
    out.writeUInt16BE(1, 10);
    out.set(encodeOpt(MAX_UDP_BYTES, { dnssecOk: false, extendedRcode: refusal.rcode >> 4 }), HEADER_BYTES);
  }
  return out;
}
