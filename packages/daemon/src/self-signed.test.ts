import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import { selfSignedCertificate } from "./self-signed.ts";

const NOW = Date.parse("2026-06-01T12:00:00Z");

test("selfSignedCertificate() names the component and its hosts, for a year", async () => {
  const hosts = ["localhost", "127.0.0.1", "::1", "2001:db8::a:0:1", "::ffff:10.0.0.1", "node-1.example"];
  const { cert } = await selfSignedCertificate("kube-scheduler", hosts, NOW);
  const read = new X509Certificate(cert);
  assert.equal(read.subject, "CN=kube-scheduler");
  assert.equal(read.issuer, "CN=kube-scheduler");
  assert.equal(read.verify(read.publicKey), true);
  assert.equal(read.checkHost("localhost"), "localhost");
  assert.equal(read.checkHost("node-1.example"), "node-1.example");
  for (const address of ["127.0.0.1", "::1", "2001:db8::a:0:1", "::ffff:10.0.0.1"]) {
    assert.notEqual(read.checkIP(address), undefined, address);
  }
  assert.equal(read.checkIP("10.0.0.1"), undefined);
  assert.equal(read.validFromDate.getTime(), NOW - 3_600_000);
  assert.equal(read.validToDate.getTime(), NOW + 365 * 24 * 3_600_000);
  assert.deepEqual(read.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
});

test("selfSignedCertificate() is valid beyond 2049 and with many hosts", async () => {
  const hosts = Array.from({ length: 40 }, (_, i) => `host-${i}.of-a-long-domain.example.com`);
  const { cert } = await selfSignedCertificate("x", hosts, Date.parse("2050-03-01T00:00:00Z"));
  const read = new X509Certificate(cert);
  assert.equal(read.validToDate.toISOString(), "2051-03-01T00:00:00.000Z");
  assert.equal(read.checkHost("host-39.of-a-long-domain.example.com"), "host-39.of-a-long-domain.example.com");
});

test("selfSignedCertificate() serves TLS to a client that trusts it, and differs each time", async () => {
  const pair = await selfSignedCertificate("kubelet", ["localhost"], Date.now());
  const other = await selfSignedCertificate("kubelet", ["localhost"], Date.now());
  assert.notEqual(new X509Certificate(pair.cert).serialNumber, new X509Certificate(other.cert).serialNumber);
  const server = createServer(pair, (socket) => socket.end("hello")).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ca: pair.cert });
    const [data] = (await once(socket, "data")) as [Buffer];
    assert.equal(data.toString(), "hello");
    assert.equal(socket.authorized, true);
  } finally {
    server.close();
  }
});
