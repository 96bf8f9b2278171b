/**
 * A message in, its answer out: the zone first, aliases followed, the rest forwarded. What the zone can answer is
 * answered at once; only the rest is a promise.
 */

import { answerLimit, answerRecords, answerRefusal } from "./core/answer.ts";
import { CLASS_IN, flagBits, HEADER_BYTES, rcodes, types } from "./core/codes.ts";
import { decodeMessage, encodeQuery, type Message, type ResourceRecord } from "./core/message.ts";
import { parseQuery, type Query } from "./core/query.ts";
import type { Zone } from "./core/zone.ts";
import { ForwardError, type Question } from "./forwarder.ts";
import type { Forwarders } from "./forwarders.ts";

/** An alias of an alias of an alias ... is a mistake or an attack. */
const MAX_ALIASES = 8;

export class Resolver {
  readonly #zone: Zone;
  readonly #forwarders: Forwarders;

  constructor(zone: Zone, forwarders: Forwarders) {
    this.#zone = zone;
    this.#forwarders = forwarders;
  }

  /** undefined when there is nothing to say. The promise never rejects for what a client or an upstream did. */
  resolve(message: Buffer, protocol: "udp" | "tcp"): Buffer | Promise<Buffer> | undefined {
    const parsed = parseQuery(message);
    if (parsed.kind === "drop") return undefined;
    if (parsed.kind === "refuse") return answerRefusal(parsed);
    const { query } = parsed;
    const answer = this.#zone.resolve(query, protocol);
    switch (answer.kind) {
      case "answer":
        return answer.bytes;
      case "alias":
        return this.#followAlias(query, answer.target, protocol);
      case "elsewhere":
        return this.#forward(query, protocol);
      default:
        throw new TypeError(`unknown answer ${JSON.stringify(answer satisfies never)}`);
    }
  }

  async #forward(query: Query, protocol: "udp" | "tcp"): Promise<Buffer> {
    const limit = answerLimit(query, protocol);
    if (query.class !== CLASS_IN || query.type === types.AXFR || query.type === types.IXFR) {
      return answerRecords(query, { rcode: rcodes.REFUSED, authoritative: false }, limit);
    }
    try {
      const found = await this.#forwarders.of(query).lookup(questionOf(query));
      return answerRecords(query, { ...found, ...metaOf(found), authoritative: false }, limit);
    } catch (error) {
      return answerRecords(query, { rcode: rcodeOf(error), authoritative: false }, limit);
    }
  }

  /** The chain of aliases and what its end holds, as one answer. Source: RFC 1034 4.3.2 */
  async #followAlias(query: Query, first: Buffer, protocol: "udp" | "tcp"): Promise<Buffer> {
    const limit = answerLimit(query, protocol);
    const answers: ResourceRecord[] = [];
    let owner: Buffer = query.question.subarray(HEADER_BYTES, query.question.length - 4);
    let target = first;
    for (let hops = 0; hops < MAX_ALIASES; hops++) {
      answers.push({
        name: owner,
        type: types.CNAME,
        class: CLASS_IN,
        ttlSeconds: this.#zone.ttlSeconds,
        data: target,
      });
      const next = reparse(query, target);
      const answer = this.#zone.resolve(next, "tcp");
      if (answer.kind === "alias") {
        owner = target;
        target = answer.target;
        continue;
      }
      try {
        const found =
          answer.kind === "answer"
            ? decodeMessage(answer.bytes)
            : await this.#forwarders.of(next).lookup(questionOf(next));
        const meta = { ...metaOf(found), authoritative: true };
        const { authorities } = found;
        return answerRecords(query, { ...meta, answers: [...answers, ...found.answers], authorities }, limit);
      } catch (error) {
        return answerRecords(query, { rcode: rcodeOf(error), authoritative: false, answers }, limit);
      }
    }
    return answerRecords(query, { rcode: rcodes.SERVFAIL, authoritative: false }, limit);
  }
}

function questionOf(query: Query): Question {
  return {
    name: query.question.subarray(HEADER_BYTES, query.question.length - 4),
    key: query.key,
    type: query.type,
    class: query.class,
    flags: query.flags & (flagBits.RD | flagBits.CD),
    dnssecOk: query.edns?.dnssecOk === true,
  };
}

/** The same question about another name. */
function reparse(query: Query, name: Buffer): Query {
  const { id, flags, type } = query;
  const parsed = parseQuery(encodeQuery({ name, type }, { id, flags: flags & ~flagBits.QR, udpBytes: 65_535 }));
  if (parsed.kind !== "query") throw new TypeError("a name of ours can't be asked for");
  return parsed.query;
}

function metaOf(message: Message): { rcode: number; truncated: boolean } {
  return { rcode: message.flags & flagBits.RCODE, truncated: (message.flags & flagBits.TC) !== 0 };
}

function rcodeOf(error: unknown): number {
  if (error instanceof ForwardError) return error.rcode;
  throw error;
}
