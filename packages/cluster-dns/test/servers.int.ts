/** Zone, forwarder and both servers on loopback, asked by Node's own DNS client and by raw messages. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Resolver as Client } from "node:dns/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { withoutSelf } from "../src/adapters/resolv-conf.ts";
import { listenTcp } from "../src/adapters/tcp-server.ts";
import { listenUdp } from "../src/adapters/udp-server.ts";
import { Forwarder } from "../src/forwarder.ts";
import { Forwarders } from "../src/forwarders.ts";
import { Resolver } from "../src/resolver.ts";
import { answerText, questionBytes, zoneFixture } from "../src/testing/zone-fixture.ts";
import { FakeUpstream } from "./fake-upstream.ts";

const stop = new AbortController();
const upstream = new FakeUpstream();
const forwarder = new Forwarder({
  clock: systemClock,
  log: silentLogger(),
  cache: { maxEntries: 100, maxPositiveMs: 30_000, maxNegativeMs: 30_000 },
  // Longer than a busy machine may keep this process waiting: a question asked twice is a failure here.
  tryTimeoutMs: 10_000,
  deadlineMs: 18_000,
  maxConcurrent: 50,
});
/** For what is waited out. */
const impatient = new Forwarder({
  clock: systemClock,
  log: silentLogger(),
  cache: { maxEntries: 100, maxPositiveMs: 0, maxNegativeMs: 0 },
  tryTimeoutMs: 1_000,
  deadlineMs: 3_000,
  maxConcurrent: 50,
});
const stub = new Forwarder({
  clock: systemClock,
  log: silentLogger(),
  cache: { maxEntries: 100, maxPositiveMs: 0, maxNegativeMs: 0 },
  tryTimeoutMs: 500,
  deadlineMs: 5_000,
  maxConcurrent: 50,
  signal: stop.signal,
});
const resolver = new Resolver(
  zoneFixture(),
  new Forwarders(
    forwarder,
    new Map([
      ["corp.example", stub],
      ["silent.example", impatient],
    ]),
  ),
);
// See addressesOf(): c-ares asks again, and is answered as before.
const client = new Client({ timeout: 20_000, tries: 5 });
let port = 0;

before(async () => {
  await upstream.start();
  const listener = {
    host: "127.0.0.1",
    handle: (message: Buffer, protocol: "udp" | "tcp") => resolver.resolve(message, protocol),
    signal: stop.signal,
    log: silentLogger(),
  };
  port = (await listenUdp({ ...listener, port: 0 })).port;
  await listenTcp({ ...listener, port });
  client.setServers([`127.0.0.1:${port}`]);
  forwarder.setUpstreams([{ host: "127.0.0.1", port: upstream.port }]);
});
after(() => {
  stop.abort();
  upstream.stop();
});

async function askUdp(message: Buffer): Promise<Buffer> {
  const socket = createSocket("udp4");
  socket.send(message, port, "127.0.0.1");
  const [answer] = (await once(socket, "message", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
  socket.close();
  return answer;
}

/** As patient as askUdp(). c-ares sets its time limit by the answers before, a second at least: too little where one is silent. */
async function addressesOf(name: string): Promise<(string | undefined)[]> {
  return answerText(await askUdp(questionBytes(`${name}. A`))).answers.map((record) => record.split(" ").at(-1));
}

test("a DNS client gets A, AAAA, SRV, PTR and CNAME records", async () => {
  assert.deepEqual(await client.resolve4("web.default.svc.cluster.local"), ["10.96.0.20"]);
  assert.deepEqual(await client.resolve6("dual.default.svc.cluster.local"), ["fd00:96::30"]);
  const [service] = await client.resolveSrv("_http._tcp.web.default.svc.cluster.local");
  assert.deepEqual([service?.name, service?.port], ["web.default.svc.cluster.local", 80]);
  assert.deepEqual(await client.reverse("10.96.0.20"), ["web.default.svc.cluster.local"]);
  assert.deepEqual(await client.resolveCname("outside.default.svc.cluster.local"), ["www.example.org"]);
});

test("a DNS client gets a cut answer's rest over TCP", async () => {
  assert.equal((await client.resolve4("large.default.svc.cluster.local")).length, 100);
});

test("a DNS client is told NXDOMAIN and NODATA apart", async () => {
  await assert.rejects(client.resolve4("nothing.default.svc.cluster.local"), { code: "ENOTFOUND" });
  await assert.rejects(client.resolve6("web.default.svc.cluster.local"), { code: "ENODATA" });
});

test("other names are asked upstream, once while the answer lives", async () => {
  upstream.answer = () => ({ addresses: ["192.0.2.7"] });
  assert.deepEqual(await client.resolve4("www.example.org"), ["192.0.2.7"]);
  assert.deepEqual(await client.resolve4("WWW.example.org"), ["192.0.2.7"]);
  assert.equal(upstream.asked.filter((asked) => asked.toLowerCase() === "udp www.example.org.").length, 1);
});

test("one question goes upstream for all who ask it at the same time", async () => {
  await Promise.all(Array.from({ length: 20 }, () => client.resolve4("same.example.org")));
  assert.equal(upstream.asked.filter((asked) => asked.includes("same.example.org")).length, 1);
});

test("an upstream's cut answer is asked again over TCP", async () => {
  upstream.answer = () => ({ addresses: ["192.0.2.8"], truncated: true });
  assert.deepEqual(await client.resolve4("cut.example.org"), ["192.0.2.8"]);
  assert.deepEqual(
    upstream.asked.filter((asked) => asked.includes("cut.")),
    ["udp cut.example.org.", "tcp cut.example.org."],
  );
});

test("an ExternalName's answer holds the alias and what it leads to", async () => {
  upstream.answer = () => ({ addresses: ["192.0.2.9"] });
  const answer = answerText(await askUdp(questionBytes("outside.default.svc.cluster.local. AAAA")));
  assert.deepEqual(answer.answers, ["outside.default.svc.cluster.local. 5 IN CNAME www.example.org."]);
  upstream.answer = () => ({ addresses: ["192.0.2.9", "2001:db8::9"] });
  assert.deepEqual(answerText(await askUdp(questionBytes("inside.default.svc.cluster.local. A"))).answers, [
    "inside.default.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.",
    "web.default.svc.cluster.local. 5 IN A 10.96.0.20",
  ]);
});

test("an ExternalName that leads to itself is SERVFAIL", async () => {
  assert.equal(answerText(await askUdp(questionBytes("circle.default.svc.cluster.local. A"))).rcode, "SERVFAIL");
});

test("a silent upstream is SERVFAIL within the deadline, and another one is asked first", async (t) => {
  upstream.answer = () => ({ silent: true });
  impatient.setUpstreams([{ host: "127.0.0.1", port: upstream.port }]);
  assert.equal(answerText(await askUdp(questionBytes("one.silent.example. A"))).rcode, "SERVFAIL");
  const second = await new FakeUpstream().start();
  t.after(() => second.stop());
  second.answer = () => ({ addresses: ["192.0.2.10"] });
  impatient.setUpstreams([
    { host: "127.0.0.1", port: upstream.port },
    { host: "127.0.0.1", port: second.port },
  ]);
  assert.deepEqual(await addressesOf("two.silent.example"), ["192.0.2.10"]);
});

test("an upstream's NXDOMAIN and SERVFAIL are handed on", async () => {
  upstream.answer = (name) => ({ rcode: name.startsWith("no") ? 3 : 2 });
  assert.equal(answerText(await askUdp(questionBytes("no.example.org. A"))).rcode, "NXDOMAIN");
  assert.equal(answerText(await askUdp(questionBytes("broken.example.org. A"))).rcode, "SERVFAIL");
});

test("names of a stub domain are asked of its own servers, whose silence is noticed and whose return too", async (t) => {
  const own = await new FakeUpstream().start();
  const spare = await new FakeUpstream().start();
  t.after(() => {
    own.stop();
    spare.stop();
  });
  own.answer = () => ({ addresses: ["192.0.2.77"] });
  stub.setUpstreams([{ host: "127.0.0.1", port: own.port }]);
  assert.deepEqual(await addressesOf("git.corp.example"), ["192.0.2.77"]);
  assert.deepEqual(await addressesOf("CORP.example"), ["192.0.2.77"]);
  upstream.answer = () => ({ addresses: ["192.0.2.1"] });
  assert.deepEqual(await addressesOf("notcorp.example"), ["192.0.2.1"]);
  own.answer = () => ({ silent: true });
  spare.answer = () => ({ addresses: ["192.0.2.78"] });
  stub.setUpstreams([
    { host: "127.0.0.1", port: own.port },
    { host: "127.0.0.1", port: spare.port },
  ]);
  const questionsOf = (server: FakeUpstream) => server.asked.filter((asked) => asked.includes("corp")).length;
  while (!own.asked.includes("udp .")) assert.deepEqual(await addressesOf("git.corp.example"), ["192.0.2.78"]);
  // Distrusted now: only checks go there.
  const before = questionsOf(own);
  for (let i = 0; i < 10; i++) await addressesOf("git.corp.example");
  assert.equal(questionsOf(own), before);
  own.answer = () => ({ addresses: ["192.0.2.77"] });
  const deadline = Date.now() + 60_000;
  while ((await addressesOf("git.corp.example"))[0] !== "192.0.2.77") assert.ok(Date.now() < deadline, "trusted again");
});

test("without any upstream other names are REFUSED", async () => {
  forwarder.setUpstreams([]);
  assert.equal(answerText(await askUdp(questionBytes("none.example.org. A"))).rcode, "REFUSED");
});

test("an upstream that leads back here is found out and dropped", async () => {
  forwarder.setUpstreams([{ host: "127.0.0.1", port }]);
  await forwarder.probeLoops();
  assert.deepEqual(forwarder.upstreams, []);
  forwarder.setUpstreams([{ host: "127.0.0.1", port: upstream.port }]);
  await forwarder.probeLoops();
  assert.equal(forwarder.upstreams.length, 1);
});

test("withoutSelf() leaves out our own addresses", () => {
  const given = [
    { host: "127.0.0.1", port: 53 },
    { host: "192.0.2.53", port: 53 },
  ];
  assert.deepEqual(withoutSelf(given, [{ host: "0.0.0.0", port: 53 }]), [given[1]]);
  assert.deepEqual(withoutSelf(given, [{ host: "192.0.2.53", port: 53 }]), [given[0]]);
  assert.deepEqual(withoutSelf(given, [{ host: "0.0.0.0", port: 5353 }]), given);
});

test("many questions share one TCP connection, in pieces of any size", async () => {
  const socket = connect({ host: "127.0.0.1", port });
  let received = Buffer.alloc(0);
  const answers: Buffer[] = [];
  const done = Promise.withResolvers<void>();
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      answers.push(received.subarray(2, end));
      received = received.subarray(end);
    }
    if (answers.length === 10) done.resolve();
  });
  const framed = Array.from({ length: 10 }, (_, id) => {
    const message = questionBytes("web.default.svc.cluster.local. A", { id });
    return Buffer.concat([Buffer.from([0, message.length]), message]);
  });
  const all = Buffer.concat(framed);
  socket.setNoDelay(true);
  for (let at = 0; at < all.length; at += 7) socket.write(all.subarray(at, at + 7));
  await done.promise;
  socket.destroy();
  assert.deepEqual(
    answers.map((answer) => answer.readUInt16BE(0)),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
});

test("garbage does not stop the server", async () => {
  const socket = createSocket("udp4");
  for (let i = 0; i < 200; i++) socket.send(Buffer.alloc(i % 60, i), port, "127.0.0.1");
  const stream = connect({ host: "127.0.0.1", port });
  stream.on("error", () => {});
  stream.end(Buffer.alloc(1000, 0xff));
  assert.deepEqual(await client.resolve4("web.default.svc.cluster.local"), ["10.96.0.20"]);
  socket.close();
});
