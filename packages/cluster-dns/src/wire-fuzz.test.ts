/** Hostile bytes: whatever arrives, parsing answers with a value of its own kind and never throws another error. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerRefusal } from "./core/answer.ts";
import { decodeMessage, MalformedMessageError } from "./core/message.ts";
import { parseQuery } from "./core/query.ts";
import { answerText, questionBytes, zoneFixture } from "./testing/zone-fixture.ts";

const ROUNDS = 20_000;
const seed = Number(process.env.KNARR_FUZZ_SEED ?? 20_261_121);

/** mulberry32: small, and the same everywhere. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function mutate(bytes: Buffer, random: () => number): Buffer {
  const copy = Buffer.from(bytes);
  const changes = 1 + Math.floor(random() * 6);
  for (let i = 0; i < changes; i++) copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
  const cut = random() < 0.3 ? Math.floor(random() * copy.length) : copy.length;
  return random() < 0.1 ? Buffer.concat([copy, copy.subarray(12)]) : copy.subarray(0, cut);
}

const zone = zoneFixture();
const questions = [
  "web.default.svc.cluster.local. A",
  "_http._tcp.db.default.svc.cluster.local. SRV",
  "outside.default.svc.cluster.local. A",
  "20.0.96.10.in-addr.arpa. PTR",
  "nothing.default.svc.cluster.local. AAAA",
];

test(`parseQuery() and resolve() survive malformed queries (KNARR_FUZZ_SEED=${seed})`, () => {
  const random = randomFrom(seed);
  for (let i = 0; i < ROUNDS; i++) {
    const edns = random() < 0.7;
    const base = questionBytes(questions[i % questions.length] ?? "", { edns });
    const message =
      random() < 0.1 ? Buffer.from(Array.from({ length: 40 }, () => Math.floor(random() * 256))) : mutate(base, random);
    const parsed = parseQuery(message);
    if (parsed.kind === "refuse") {
      assert.equal(answerRefusal(parsed).readUInt16BE(0), message.readUInt16BE(0));
    } else if (parsed.kind === "query") {
      const answer = zone.resolve(parsed.query, "udp");
      // What we send is well-formed, whatever was asked.
      if (answer.kind === "answer") answerText(answer.bytes);
    }
  }
});

test(`decodeMessage() throws nothing but MalformedMessageError (KNARR_FUZZ_SEED=${seed})`, () => {
  const random = randomFrom(seed + 1);
  const answers = questions.flatMap((question) => {
    const parsed = parseQuery(questionBytes(question));
    const answer = parsed.kind === "query" ? zone.resolve(parsed.query, "tcp") : undefined;
    return answer?.kind === "answer" ? [answer.bytes] : [];
  });
  for (let i = 0; i < ROUNDS; i++) {
    try {
      decodeMessage(mutate(answers[i % answers.length] as Buffer, random));
    } catch (error) {
      assert.ok(error instanceof MalformedMessageError, String(error));
    }
  }
});

for (const [what, hex] of [
  ["a pointer to itself", "1234818000010001000000000161000001000 1c00c0001000100000005000401020304".replace(" ", "")],
  ["a pointer forwards", "123481800001000100000000c0200001 0001".replace(" ", "")],
  ["a label of a reserved kind", "12348180000100000000000080610000010001"],
  ["a name without an end", "123481800001000000000000036161"],
  ["data longer than the message", "12348180000000010000000000000100010000000500ff01020304"],
  ["an A record in pieces", "1234818000000001"],
] as const) {
  test(`decodeMessage() refuses or reads ${what} without harm`, () => {
    try {
      decodeMessage(Buffer.from(hex, "hex"));
    } catch (error) {
      assert.ok(error instanceof MalformedMessageError);
    }
  });
}

for (const [what, message, want] of [
  ["nothing", Buffer.alloc(0), "drop"],
  ["half a header", Buffer.alloc(7), "drop"],
  ["an answer", questionBytes("web.default.svc.cluster.local. A", { flags: 0x8180 }), "drop"],
  ["a header alone", Buffer.from("123401000001000000000000", "hex"), 1],
  ["no question", Buffer.from("123401000000000000000000", "hex"), 1],
  ["two questions", Buffer.from("12340100000200000000000001610000010001016100 00010001".replace(" ", ""), "hex"), 1],
  ["a compressed question", Buffer.from("123401000001000000000000c00c00010001", "hex"), 1],
  ["a status request", Buffer.from("12341000000100000000000000000 10001".replace(" ", ""), "hex"), 4],
  ["an update", Buffer.from("1234280000010000000000000161000006 0001".replace(" ", ""), "hex"), 4],
  ["EDNS version 1", Buffer.from("1234010000010000000000010161000001000100002904d0000100000000", "hex"), 16],
  [
    "two OPT records",
    Buffer.from(
      "12340100000100000000000201610000010001000029100000000000000000002910000000 00000000".replace(" ", ""),
      "hex",
    ),
    1,
  ],
] as const) {
  test(`parseQuery() ${want === "drop" ? "drops" : `refuses with code ${want}`} ${what}`, () => {
    const parsed = parseQuery(message);
    if (want === "drop") assert.equal(parsed.kind, "drop");
    else assert.equal(parsed.kind === "refuse" ? parsed.rcode : parsed.kind, want);
  });
}

test("answerRefusal() keeps the id and opcode, and tells BADVERS through OPT", () => {
  const text = answerText(answerRefusal({ id: 7, flags: 0x0100, rcode: 16 }));
  assert.deepEqual([text.rcode, text.flags], ["BADVERS", ["qr", "rd"]]);
});
