/**
 * The Kubernetes DNS specification 1.1.0 line by line: each row names its section. docs/checklists/dns-spec.md tells where
 * what it says besides records (negative answers, until-synced, transports) is tested.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { answerText, questionBytes, zoneName } from "../testing/zone-fixture.ts";
import { parseQuery } from "./query.ts";
import { recordsOfService } from "./service-records.ts";
import { Zone } from "./zone.ts";

const options = { zone: zoneName, ttlSeconds: 5 };
const https = { name: "https", port: 443, protocol: "TCP" };

function slice(name: string, addressType: string, endpoints: Endpoint[], ports: EndpointSlice["ports"]): EndpointSlice {
  return { metadata: { namespace: "default", name }, addressType, endpoints, ports };
}

function zoneOf(...services: readonly (readonly [Service, readonly EndpointSlice[]])[]): Zone {
  const zone = new Zone(options);
  zone.setNamespace("default", true);
  for (const [service, slices] of services) {
    zone.setService(`default/${service.metadata.name}`, recordsOfService(service, slices, options), 0);
  }
  zone.setComplete();
  return zone;
}

const service = (name: string, spec: NonNullable<Service["spec"]>): Service => ({
  metadata: { namespace: "default", name },
  spec,
});
const ready = { ready: true, serving: true, terminating: false };
const starting = { ready: false, serving: false, terminating: false };
const leaving = { ready: false, serving: true, terminating: true };

const zone = zoneOf(
  [
    service("kubernetes", { clusterIPs: ["10.3.0.1", "2001:db8::1"], ports: [https] }),
    [slice("kubernetes-1", "IPv4", [{ addresses: ["172.16.0.1"], conditions: ready }], [{ ...https, port: 6443 }])],
  ],
  [
    service("headless", { clusterIP: "None", clusterIPs: ["None"], ports: [https] }),
    [
      slice(
        "headless-4",
        "IPv4",
        [
          { addresses: ["10.3.0.100"], hostname: "my-pet", conditions: ready },
          { addresses: ["10.3.0.101"], hostname: "my-pet-2", conditions: ready },
          { addresses: ["10.3.0.102"], conditions: ready },
          { addresses: ["10.3.0.103"], hostname: "starts", conditions: starting },
          { addresses: ["10.3.0.104"], hostname: "leaves", conditions: leaving },
          { addresses: ["10.3.0.105"], hostname: "unknown" },
        ],
        [https],
      ),
      slice(
        "headless-6",
        "IPv6",
        [
          { addresses: ["2001:db8::100"], hostname: "my-pet", conditions: ready },
          { addresses: ["2001:db8::abcd:102"], conditions: ready },
        ],
        [https],
      ),
    ],
  ],
  [
    // What the controller writes for publishNotReadyAddresses: endpoints that are ready whatever their Pods are.
    service("published", { clusterIP: "None", clusterIPs: ["None"], publishNotReadyAddresses: true }),
    [slice("published-1", "IPv4", [{ addresses: ["10.3.0.110"], hostname: "early", conditions: ready }], [])],
  ],
  [service("foo", { type: "ExternalName", externalName: "www.example.com" }), []],
);

function ask(question: string) {
  const parsed = parseQuery(questionBytes(question));
  assert.ok(parsed.kind === "query");
  const answer = zone.resolve(parsed.query, "udp");
  assert.ok(answer.kind === "answer", answer.kind);
  return answerText(answer.bytes);
}

const reverse6 = (address: string) => `${[...address.replaceAll(":", "")].reverse().join(".")}.ip6.arpa.`;
const headless = "headless.default.svc.cluster.local.";
const dashed6 = "2001-db8--abcd-102";

for (const { section, question, want } of [
  { section: "2.2 schema version", question: "dns-version.cluster.local. TXT", want: ['28800 IN TXT "1.1.0"'] },
  { section: "2.3.1 A", question: "kubernetes.default.svc.cluster.local. A", want: ["5 IN A 10.3.0.1"] },
  { section: "2.3.1 AAAA", question: "kubernetes.default.svc.cluster.local. AAAA", want: ["5 IN AAAA 2001:db8::1"] },
  {
    section: "2.3.2 SRV",
    question: "_https._tcp.kubernetes.default.svc.cluster.local. SRV",
    want: ["5 IN SRV 0 100 443 kubernetes.default.svc.cluster.local."],
  },
  {
    section: "2.3.3 PTR",
    question: "1.0.3.10.in-addr.arpa. PTR",
    want: ["5 IN PTR kubernetes.default.svc.cluster.local."],
  },
  {
    section: "2.3.3 PTR of IPv6",
    question: `${reverse6("2001:0db8:0000:0000:0000:0000:0000:0001")} PTR`,
    want: ["5 IN PTR kubernetes.default.svc.cluster.local."],
  },
  {
    section: "2.4.1 A of the ready endpoints",
    question: `${headless} A`,
    want: ["5 IN A 10.3.0.100", "5 IN A 10.3.0.101", "5 IN A 10.3.0.102", "5 IN A 10.3.0.105"],
  },
  {
    section: "2.4.1 AAAA",
    question: `${headless} AAAA`,
    want: ["5 IN AAAA 2001:db8::100", "5 IN AAAA 2001:db8::abcd:102"],
  },
  { section: "2.4.1 A by hostname", question: `my-pet.${headless} A`, want: ["5 IN A 10.3.0.100"] },
  { section: "2.4.1 AAAA by hostname", question: `my-pet.${headless} AAAA`, want: ["5 IN AAAA 2001:db8::100"] },
  { section: "2.4.1 A without a hostname", question: `10-3-0-102.${headless} A`, want: ["5 IN A 10.3.0.102"] },
  {
    section: "2.4.1 AAAA without a hostname",
    question: `${dashed6}.${headless} AAAA`,
    want: ["5 IN AAAA 2001:db8::abcd:102"],
  },
  {
    section: "2.4.1 publishNotReadyAddresses",
    question: "early.published.default.svc.cluster.local. A",
    want: ["5 IN A 10.3.0.110"],
  },
  {
    section: "2.4.2 SRV",
    question: `_https._tcp.${headless} SRV`,
    want: ["my-pet", "my-pet-2", "10-3-0-102", "unknown", dashed6].map(
      (host) => `5 IN SRV 0 20 443 ${host}.${headless}`,
    ),
  },
  { section: "2.4.3 PTR", question: "100.0.3.10.in-addr.arpa. PTR", want: [`5 IN PTR my-pet.${headless}`] },
  {
    section: "2.4.3 PTR without a hostname",
    question: "102.0.3.10.in-addr.arpa. PTR",
    want: [`5 IN PTR 10-3-0-102.${headless}`],
  },
  {
    section: "2.4.3 PTR of IPv6",
    question: `${reverse6("2001:0db8:0000:0000:0000:0000:0000:0100")} PTR`,
    want: [`5 IN PTR my-pet.${headless}`],
  },
  {
    section: "2.5 CNAME",
    question: "foo.default.svc.cluster.local. CNAME",
    want: ["5 IN CNAME www.example.com."],
  },
]) {
  test(`specification ${section}: ${question.slice(0, 70)}`, () => {
    const got = ask(question);
    const name = question.slice(0, question.indexOf(" "));
    assert.equal(got.rcode, "NOERROR");
    assert.ok(got.flags.includes("aa"));
    assert.deepEqual(got.answers, want.map((record) => `${name} ${record}`).sort());
  });
}

for (const [section, question, rcode] of [
  ["2.4.1 endpoints that are not ready have no records", `starts.${headless} A`, "NXDOMAIN"],
  ["2.4.1 endpoints that end have none either", `leaves.${headless} A`, "NXDOMAIN"],
  ["2.4.1 a family that a host lacks", `my-pet-2.${headless} AAAA`, "NOERROR"],
  ["2.3.2 unknown port names", "_http._tcp.kubernetes.default.svc.cluster.local. SRV", "NXDOMAIN"],
  ["2.3.2 the other protocol", "_https._udp.kubernetes.default.svc.cluster.local. SRV", "NXDOMAIN"],
  ["2.5 ExternalName has no port records", "_https._tcp.foo.default.svc.cluster.local. SRV", "NXDOMAIN"],
] as const) {
  test(`specification ${section}: ${question} is ${rcode} with the zone's SOA`, () => {
    const got = ask(question);
    assert.deepEqual([got.rcode, got.answers], [rcode, []]);
    assert.match(got.authorities[0] ?? "", /^cluster\.local\. 5 IN SOA /);
  });
}
