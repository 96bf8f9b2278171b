import assert from "node:assert/strict";
import { test } from "node:test";
import { answerText, questionBytes, zoneFixture } from "../testing/zone-fixture.ts";
import { parseQuery, type Query } from "./query.ts";
import { recordsOfService } from "./service-records.ts";
import type { Zone, ZoneAnswer } from "./zone.ts";

const zone = zoneFixture();

function queryOf(question: string, options: Parameters<typeof questionBytes>[1] = {}): Query {
  const parsed = parseQuery(questionBytes(question, options));
  assert.ok(parsed.kind === "query");
  return parsed.query;
}

function resolve(question: string, from: Zone = zone): ZoneAnswer {
  return from.resolve(queryOf(question), "udp");
}

function ask(question: string, from: Zone = zone) {
  const answer = resolve(question, from);
  assert.ok(answer.kind === "answer", answer.kind);
  return answerText(answer.bytes);
}

const positive: readonly { question: string; answers: readonly string[]; additionals?: readonly string[] }[] = [
  { question: "web.default.svc.cluster.local. A", answers: ["web.default.svc.cluster.local. 5 IN A 10.96.0.20"] },
  { question: "dual.default.svc.cluster.local. A", answers: ["dual.default.svc.cluster.local. 5 IN A 10.96.0.30"] },
  {
    question: "dual.default.svc.cluster.local. AAAA",
    answers: ["dual.default.svc.cluster.local. 5 IN AAAA fd00:96::30"],
  },
  {
    question: "_http._tcp.web.default.svc.cluster.local. SRV",
    answers: ["_http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local."],
    additionals: ["web.default.svc.cluster.local. 5 IN A 10.96.0.20"],
  },
  {
    question: "_dns._udp.web.default.svc.cluster.local. SRV",
    answers: ["_dns._udp.web.default.svc.cluster.local. 5 IN SRV 0 100 53 web.default.svc.cluster.local."],
    additionals: ["web.default.svc.cluster.local. 5 IN A 10.96.0.20"],
  },
  {
    question: "web.default.svc.cluster.local. SRV",
    answers: [
      "web.default.svc.cluster.local. 5 IN SRV 0 50 53 web.default.svc.cluster.local.",
      "web.default.svc.cluster.local. 5 IN SRV 0 50 80 web.default.svc.cluster.local.",
    ],
    additionals: ["web.default.svc.cluster.local. 5 IN A 10.96.0.20"],
  },
  {
    question: "10-244-0-5.web.default.svc.cluster.local. A",
    answers: ["10-244-0-5.web.default.svc.cluster.local. 5 IN A 10.244.0.5"],
  },
  {
    question: "db.default.svc.cluster.local. A",
    answers: ["db.default.svc.cluster.local. 5 IN A 10.244.0.10", "db.default.svc.cluster.local. 5 IN A 10.244.1.11"],
  },
  { question: "db.default.svc.cluster.local. AAAA", answers: ["db.default.svc.cluster.local. 5 IN AAAA fd00:244::10"] },
  {
    question: "db-0.db.default.svc.cluster.local. A",
    answers: ["db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.10"],
  },
  {
    question: "_http._tcp.db.default.svc.cluster.local. SRV",
    answers: [
      "_http._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 5432 10-244-1-11.db.default.svc.cluster.local.",
      "_http._tcp.db.default.svc.cluster.local. 5 IN SRV 0 50 5432 db-0.db.default.svc.cluster.local.",
    ],
    additionals: [
      "10-244-1-11.db.default.svc.cluster.local. 5 IN A 10.244.1.11",
      "db-0.db.default.svc.cluster.local. 5 IN A 10.244.0.10",
      "db-0.db.default.svc.cluster.local. 5 IN AAAA fd00:244::10",
    ],
  },
  {
    question: "portless.default.svc.cluster.local. A",
    answers: ["portless.default.svc.cluster.local. 5 IN A 10.244.0.60"],
  },
  {
    question: "outside.default.svc.cluster.local. CNAME",
    answers: ["outside.default.svc.cluster.local. 5 IN CNAME www.example.org."],
  },
  {
    question: "20.0.96.10.in-addr.arpa. PTR",
    answers: ["20.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local."],
  },
  {
    question: "10.0.244.10.in-addr.arpa. PTR",
    answers: ["10.0.244.10.in-addr.arpa. 5 IN PTR db-0.db.default.svc.cluster.local."],
  },
  {
    question: "11.1.244.10.in-addr.arpa. PTR",
    answers: ["11.1.244.10.in-addr.arpa. 5 IN PTR 10-244-1-11.db.default.svc.cluster.local."],
  },
  {
    question: "0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa. PTR",
    answers: [
      "0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa. 5 IN PTR dual.default.svc.cluster.local.",
    ],
  },
  {
    question: "10-244-3-4.default.pod.cluster.local. A",
    answers: ["10-244-3-4.default.pod.cluster.local. 5 IN A 10.244.3.4"],
  },
  {
    question: "fd00-244--7.default.pod.cluster.local. AAAA",
    answers: ["fd00-244--7.default.pod.cluster.local. 5 IN AAAA fd00:244::7"],
  },
  { question: "dns-version.cluster.local. TXT", answers: ['dns-version.cluster.local. 28800 IN TXT "1.1.0"'] },
  {
    question: "cluster.local. NS",
    answers: ["cluster.local. 5 IN NS ns.dns.cluster.local."],
    additionals: ["ns.dns.cluster.local. 5 IN A 10.96.0.10"],
  },
  {
    question: "cluster.local. SOA",
    answers: ["cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700000009 7200 1800 86400 5"],
  },
  { question: "ns.dns.cluster.local. A", answers: ["ns.dns.cluster.local. 5 IN A 10.96.0.10"] },
];

for (const { question, answers, additionals = [] } of positive) {
  test(`resolve() answers ${question}`, () => {
    const got = ask(question);
    assert.equal(got.rcode, "NOERROR");
    assert.deepEqual(got.flags, ["qr", "aa", "rd", "ra"]);
    assert.deepEqual(got.answers, answers);
    assert.deepEqual(got.additionals, additionals);
    assert.deepEqual(got.authorities, []);
  });
}

const negative: readonly [question: string, rcode: "NOERROR" | "NXDOMAIN"][] = [
  // The name is there, the type is not.
  ["web.default.svc.cluster.local. AAAA", "NOERROR"],
  ["web.default.svc.cluster.local. TXT", "NOERROR"],
  ["_tcp.web.default.svc.cluster.local. A", "NOERROR"],
  ["_http._tcp.web.default.svc.cluster.local. A", "NOERROR"],
  ["10-244-3-4.default.pod.cluster.local. AAAA", "NOERROR"],
  ["default.svc.cluster.local. A", "NOERROR"],
  ["kube-system.pod.cluster.local. A", "NOERROR"],
  ["svc.cluster.local. A", "NOERROR"],
  ["svc.cluster.local. NS", "NOERROR"],
  ["cluster.local. A", "NOERROR"],
  ["ns.dns.cluster.local. AAAA", "NOERROR"],
  ["dns.cluster.local. A", "NOERROR"],
  // The name is not.
  ["nothing.default.svc.cluster.local. A", "NXDOMAIN"],
  ["web.other.svc.cluster.local. A", "NXDOMAIN"],
  ["other.svc.cluster.local. A", "NXDOMAIN"],
  ["empty.default.svc.cluster.local. A", "NXDOMAIN"],
  ["db-2.db.default.svc.cluster.local. A", "NXDOMAIN"],
  ["_http._tcp.unnamed.default.svc.cluster.local. SRV", "NXDOMAIN"],
  ["_http._udp.web.default.svc.cluster.local. SRV", "NXDOMAIN"],
  ["below.outside.default.svc.cluster.local. A", "NXDOMAIN"],
  ["10-244-3-4.other.pod.cluster.local. A", "NXDOMAIN"],
  ["10-244-3-400.default.pod.cluster.local. A", "NXDOMAIN"],
  ["name.default.pod.cluster.local. A", "NXDOMAIN"],
  ["foo.cluster.local. NS", "NXDOMAIN"],
  ["a.b.c.d.e.f.cluster.local. A", "NXDOMAIN"],
  ["www.example.org.default.svc.cluster.local. A", "NXDOMAIN"],
];

for (const [question, rcode] of negative) {
  test(`resolve() denies ${question} with ${rcode} and the zone's SOA`, () => {
    const got = ask(question);
    assert.equal(got.rcode, rcode);
    assert.deepEqual(got.answers, []);
    assert.match(got.authorities[0] ?? "", /^cluster\.local\. 5 IN SOA ns\.dns\.cluster\.local\. .* 5$/);
  });
}

for (const question of [
  "www.example.org. A",
  "xcluster.local. A",
  "local. A",
  ". NS",
  "1.1.1.1.in-addr.arpa. PTR",
  "20.0.96.10.in-addr.arpa. TXT",
]) {
  test(`resolve() leaves ${question} to others`, () => assert.equal(resolve(question).kind, "elsewhere"));
}

for (const question of [
  "web.default.svc.cluster.local. A",
  "nothing.default.svc.cluster.local. A",
  "20.0.96.10.in-addr.arpa. PTR",
]) {
  test(`resolve() answers SERVFAIL for ${question} until the zone is complete`, () => {
    const got = ask(question, zoneFixture({ complete: false }));
    assert.deepEqual([got.rcode, got.answers, got.authorities], ["SERVFAIL", [], []]);
  });
}

test("resolve() finds names in any case and repeats the case asked", () => {
  const question = "wEb.DeFault.svc.CLUSTER.local. A";
  assert.deepEqual(ask(question).answers, ["wEb.DeFault.svc.CLUSTER.local. 5 IN A 10.96.0.20"]);
});

test("resolve() hands an ExternalName's target on for other types", () => {
  const answer = resolve("outside.default.svc.cluster.local. A");
  assert.ok(answer.kind === "alias");
});

test("resolve() refuses transfers", () => {
  assert.equal(ask("cluster.local. AXFR").rcode, "REFUSED");
});

test("resolve() rotates the addresses of a headless Service", () => {
  const first = new Set<number>();
  for (let i = 0; i < 4; i++) {
    const answer = resolve("db.default.svc.cluster.local. A");
    assert.ok(answer.kind === "answer");
    first.add(answer.bytes.readUInt32BE(queryOf("db.default.svc.cluster.local. A").question.length + 12));
  }
  assert.equal(first.size, 2);
});

for (const { name, options, limit } of [
  { name: "512 bytes without EDNS", options: { edns: false }, limit: 512 },
  { name: "what the client can take", options: { udpBytes: 800 }, limit: 800 },
  { name: "1232 bytes at most", options: { udpBytes: 65_535 }, limit: 1232 },
]) {
  test(`resolve() cuts large answers over UDP to ${name}, with TC and whole records`, () => {
    const answer = zone.resolve(queryOf("large.default.svc.cluster.local. A", options), "udp");
    assert.ok(answer.kind === "answer");
    const got = answerText(answer.bytes);
    assert.ok(answer.bytes.length <= limit && answer.bytes.length > limit - 16, `${answer.bytes.length} bytes`);
    assert.ok(got.flags.includes("tc"));
    assert.ok(got.answers.length > 20 && got.answers.length < 100);
  });
}

test("resolve() gives everything over TCP", () => {
  const answer = zone.resolve(queryOf("large.default.svc.cluster.local. A", { edns: false }), "tcp");
  assert.ok(answer.kind === "answer");
  const got = answerText(answer.bytes);
  assert.deepEqual([got.answers.length, got.flags.includes("tc")], [100, false]);
});

test("setService() takes a Service's names away, and leaves an address that another one still has", () => {
  const changing = zoneFixture();
  const options = { zone: "cluster.local", ttlSeconds: 5 };
  const twin = {
    metadata: { namespace: "default", name: "twin" },
    spec: { clusterIPs: ["10.96.0.20"], ports: [{ port: 80 }] },
  };
  changing.setService("default/twin", recordsOfService(twin, [], options), 0);
  assert.equal(ask("20.0.96.10.in-addr.arpa. PTR", changing).answers.length, 2);
  changing.setService("default/web", undefined, 0);
  assert.equal(ask("web.default.svc.cluster.local. A", changing).rcode, "NXDOMAIN");
  assert.equal(ask("_tcp.web.default.svc.cluster.local. A", changing).rcode, "NXDOMAIN");
  assert.deepEqual(ask("20.0.96.10.in-addr.arpa. PTR", changing).answers, [
    "20.0.96.10.in-addr.arpa. 5 IN PTR twin.default.svc.cluster.local.",
  ]);
});
