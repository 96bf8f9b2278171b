/**
 * A serving certificate for daemons that were given none, as upstream's do: made in memory at each start.
 *
 * Node.js signs and reads certificates but makes none. The few bytes of DER are written here and not by an X.509 library,
 * because loading one costs a daemon 18 MiB for a certificate that is made once.
 * Source: k8s.io/apiserver/pkg/server/options/serving.go (MaybeDefaultWithSelfSignedCerts), RFC 5280 4.1, X.690 (DER)
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";

const YEAR_MS = 365 * 24 * 3600 * 1000;
/** Clocks differ. */
const BACKDATED_MS = 3_600_000;

/** PEM certificate and key, valid for a year from `nowMs`, for `commonName` and the given host names and addresses. */
export async function selfSignedCertificate(
  commonName: string,
  hosts: readonly string[],
  nowMs: number,
): Promise<{ cert: string; key: string }> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = sequence(set(sequence(oid(OID.commonName), der(TAG.utf8String, Buffer.from(commonName)))));
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    ECDSA_SHA256,
    name,
    sequence(time(nowMs - BACKDATED_MS), time(nowMs + YEAR_MS)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    explicit(3, sequence(...extensions(hosts))),
  );
  const certificate = sequence(body, ECDSA_SHA256, bitString(sign("sha256", body, privateKey)));
  return {
    cert: pem("CERTIFICATE", certificate),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  generalizedTime: 0x18,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Contents, as X.690 8.19 packs them. */
const OID = {
  /** 2.5.4.3 */
  commonName: [0x55, 0x04, 0x03],
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  /** 2.5.29.15 */
  keyUsage: [0x55, 0x1d, 0x0f],
  /** 2.5.29.37 */
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  /** 2.5.29.17 */
  subjectAltName: [0x55, 0x1d, 0x11],
  /** 1.3.6.1.5.5.7.3.1 */
  serverAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
} as const;

const ECDSA_SHA256 = sequence(oid(OID.ecdsaWithSha256));

function extensions(hosts: readonly string[]): Buffer[] {
  const names = hosts.map((host) => {
    const address = addressBytes(host);
    // GeneralName: [2] dNSName, [7] iPAddress.
    return address === undefined ? der(0x82, Buffer.from(host, "ascii")) : der(0x87, address);
  });
  const critical = der(TAG.boolean, Buffer.from([0xff]));
  // digitalSignature and keyEncipherment: bits 0 and 2, so that five bits of the byte are unused.
  const usage = der(TAG.bitString, Buffer.from([5, 0b1010_0000]));
  return [
    sequence(oid(OID.keyUsage), critical, der(TAG.octetString, usage)),
    sequence(oid(OID.extendedKeyUsage), der(TAG.octetString, sequence(oid(OID.serverAuth)))),
    sequence(oid(OID.subjectAltName), der(TAG.octetString, sequence(...names))),
  ];
}

/** 4 or 16 bytes; undefined for a host name. */
function addressBytes(host: string): Buffer | undefined {
  if (isIPv4(host)) return Buffer.from(host.split(".").map(Number));
  if (!isIPv6(host)) return undefined;
  // The URL parser writes every form of an address (with an IPv4 tail, say) in one: "[2001:db8::1]".
  const [head = "", tail] = new URL(`http://[${host}]`).hostname.slice(1, -1).split("::");
  const groups = (text: string | undefined) => (text ? text.split(":").map((group) => Number.parseInt(group, 16)) : []);
  const [left, right] = [groups(head), groups(tail)];
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Tag, length, contents. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(TAG.sequence, Buffer.concat(parts));
}
function set(...parts: readonly Buffer[]): Buffer {
  return der(TAG.set, Buffer.concat(parts));
}
function explicit(number: number, content: Buffer): Buffer {
  return der(0xa0 | number, content);
}
function oid(bytes: readonly number[]): Buffer {
  return der(TAG.oid, Buffer.from(bytes));
}
function integer(bytes: Buffer): Buffer {
  return der(TAG.integer, bytes);
}
function bitString(bytes: Buffer): Buffer {
  return der(TAG.bitString, Buffer.concat([Buffer.from([0]), bytes]));
}

/** Positive, and without leading zeros: the first byte is 01 to 7f. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

/** UTCTime until 2049, GeneralizedTime from then on. Source: RFC 5280 4.1.2.5 */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  const year = Number(text.slice(0, 4));
  return year < 2050 ? der(TAG.utcTime, Buffer.from(text.slice(2))) : der(TAG.generalizedTime, Buffer.from(text));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
