/** A small cluster for tests of the zone, and questions and answers in the text of zone files. */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { rcodeName, types } from "../core/codes.ts";
import { decodeMessage, encodeQuery, type Message } from "../core/message.ts";
import { encodeName } from "../core/name.ts";
import { recordText } from "../core/record-text.ts";
import { recordsOfService } from "../core/service-records.ts";
import { Zone } from "../core/zone.ts";

export const zoneName = "cluster.local";

function service(name: string, spec: NonNullable<Service["spec"]>, namespace = "default"): Service {
  return { metadata: { namespace, name }, spec };
}

function slice(name: string, addressType: string, endpoints: Endpoint[], ports: EndpointSlice["ports"]): EndpointSlice {
  return { metadata: { namespace: "default", name }, addressType, endpoints, ports };
}

const http = { name: "http", port: 80, protocol: "TCP" };
const dns = { name: "dns", port: 53, protocol: "UDP" };
const ready = { ready: true, serving: true, terminating: false };
const notReady = { ready: false, serving: false, terminating: false };

export const cluster: readonly (readonly [Service, readonly EndpointSlice[]])[] = [
  [
    service("web", { clusterIP: "10.96.0.20", clusterIPs: ["10.96.0.20"], ports: [http, dns] }),
    [slice("web-1", "IPv4", [{ addresses: ["10.244.0.5"], conditions: ready }], [{ ...http, port: 8080 }])],
  ],
  [service("dual", { clusterIPs: ["10.96.0.30", "fd00:96::30"], ports: [http] }), []],
  [service("unnamed", { clusterIPs: ["10.96.0.40"], ports: [{ port: 80 }] }), []],
  [
    service("db", { clusterIP: "None", clusterIPs: ["None"], ports: [{ ...http, port: 5432 }] }),
    [
      slice(
        "db-1",
        "IPv4",
        [
          { addresses: ["10.244.0.10"], hostname: "db-0", conditions: ready },
          { addresses: ["10.244.1.11"], conditions: ready },
          { addresses: ["10.244.1.12"], hostname: "db-2", conditions: notReady },
        ],
        [{ ...http, port: 5432 }],
      ),
      slice(
        "db-2",
        "IPv6",
        [{ addresses: ["fd00:244::10"], hostname: "db-0", conditions: ready }],
        [{ ...http, port: 5432 }],
      ),
    ],
  ],
  [service("empty", { clusterIP: "None", clusterIPs: ["None"], ports: [http] }), []],
  [
    service("portless", { clusterIP: "None", clusterIPs: ["None"] }),
    [slice("portless-1", "IPv4", [{ addresses: ["10.244.0.60"] }], [])],
  ],
  [service("outside", { type: "ExternalName", externalName: "www.example.org" }), []],
  [service("inside", { type: "ExternalName", externalName: "web.default.svc.cluster.local" }), []],
  [service("circle", { type: "ExternalName", externalName: "circle.default.svc.cluster.local" }), []],
  [
    service("large", { clusterIP: "None", clusterIPs: ["None"] }),
    [
      slice(
        "large-1",
        "IPv4",
        Array.from({ length: 100 }, (_, i) => ({ addresses: [`10.244.7.${i}`] })),
        [],
      ),
    ],
  ],
];

export function zoneFixture(options: { readonly complete?: boolean } = {}): Zone {
  const zone = new Zone({ zone: zoneName, ttlSeconds: 5 });
  for (const [object, slices] of cluster) {
    const { namespace, name } = object.metadata;
    zone.setService(
      `${namespace}/${name}`,
      recordsOfService(object, slices, { zone: zoneName, ttlSeconds: 5 }),
      1_700_000_000_000,
    );
  }
  zone.setNamespace("default", true);
  zone.setNamespace("kube-system", true);
  zone.setNameServers(["10.96.0.10"]);
  if (options.complete !== false) zone.setComplete();
  return zone;
}

/** "web.default.svc.cluster.local. A" as a message. */
export function questionBytes(
  text: string,
  options: { readonly id?: number; readonly udpBytes?: number; readonly edns?: boolean; readonly flags?: number } = {},
): Buffer {
  const [name = "", type = ""] = text.split(" ");
  const number = types[type as keyof typeof types];
  const { id = 4711, udpBytes = 1232, edns = true, flags = 0x0100 } = options;
  const bytes = Buffer.from(encodeQuery({ name: encodeName(name), type: number }, { id, flags, udpBytes }));
  if (edns) return bytes;
  bytes.writeUInt16BE(0, 10);
  return bytes.subarray(0, bytes.length - 11);
}

export interface AnswerText {
  readonly rcode: string;
  readonly flags: readonly string[];
  readonly answers: readonly string[];
  readonly authorities: readonly string[];
  readonly additionals: readonly string[];
}

const flagNames: readonly [name: string, bit: number][] = [
  ["qr", 0x8000],
  ["aa", 0x0400],
  ["tc", 0x0200],
  ["rd", 0x0100],
  ["ra", 0x0080],
];

export function answerText(bytes: Buffer): AnswerText {
  const message: Message = decodeMessage(bytes);
  const opt = message.additionals.find((record) => record.type === types.OPT);
  const extended = opt === undefined ? 0 : Math.floor(opt.ttlSeconds / 2 ** 24) << 4;
  return {
    rcode: rcodeName((message.flags & 0xf) | extended),
    flags: flagNames.filter(([, bit]) => (message.flags & bit) !== 0).map(([name]) => name),
    answers: message.answers.map(recordText).sort(),
    authorities: message.authorities.map(recordText),
    additionals: message.additionals
      .filter((record) => record !== opt)
      .map(recordText)
      .sort(),
  };
}
