/** An upstream resolver on loopback that answers as a test says, and remembers what it was asked. */
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { answerRecords } from "../src/core/answer.ts";
import type { ResourceRecord } from "../src/core/message.ts";
import { addressBytes, nameText } from "../src/core/name.ts";
import { parseQuery, type Query } from "../src/core/query.ts";

export interface FakeAnswer {
  readonly rcode?: number;
  readonly addresses?: readonly string[];
  readonly ttlSeconds?: number;
  /** Sets TC over UDP; TCP gets everything. */
  readonly truncated?: boolean;
  readonly silent?: boolean;
}

export class FakeUpstream {
  readonly #udp: Socket = createSocket("udp4");
  readonly #tcp: Server;
  readonly asked: string[] = [];
  answer: (name: string, query: Query) => FakeAnswer = () => ({ addresses: ["192.0.2.1"] });
  port = 0;

  constructor() {
    this.#udp.on("message", (message, from) => {
      const answer = this.#reply(message, "udp");
      if (answer !== undefined) this.#udp.send(answer, from.port, from.address);
    });
    this.#tcp = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data: Buffer) => {
        const answer = this.#reply(data.subarray(2), "tcp");
        if (answer === undefined) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      });
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#udp.bind(0, "127.0.0.1", resolve));
    this.port = this.#udp.address().port;
    await new Promise<void>((resolve) => this.#tcp.listen(this.port, "127.0.0.1", resolve));
    return this;
  }

  stop(): void {
    this.#udp.close();
    this.#tcp.close();
  }

  #reply(message: Buffer, protocol: "udp" | "tcp"): Buffer | undefined {
    const parsed = parseQuery(message);
    if (parsed.kind !== "query") return undefined;
    const { query } = parsed;
    const wire = query.question.subarray(12, query.question.length - 4);
    const name = nameText(wire);
    this.asked.push(`${protocol} ${name}`);
    const { rcode = 0, addresses = [], ttlSeconds = 60, truncated = false, silent = false } = this.answer(name, query);
    if (silent) return undefined;
    const records = addresses.map((text): ResourceRecord => {
      const data = addressBytes(text) as Buffer;
      return { name: wire, type: data.length === 4 ? 1 : 28, class: 1, ttlSeconds, data };
    });
    const answers = records.filter((record) => record.type === query.type);
    const cut = truncated && protocol === "udp";
    return answerRecords(query, { rcode, authoritative: false, answers: cut ? [] : answers, truncated: cut }, 65_535);
  }
}
