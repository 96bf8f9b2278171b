/** IP addresses and CIDRs. Source: k8s.io/apimachinery/pkg/util/validation ip.go */
import type { FieldErrors } from "./field-errors.ts";

const octet = /^(25[0-5]|2[0-4]\d|1?\d?\d)$/;

export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => octet.test(part));
}

function groupsOf(text: string): number {
  return text === "" ? 0 : text.split(":").length;
}

/** Colons, at most one "::", and possibly a dotted tail. */
export function isIpv6(text: string): boolean {
  let address = text;
  const tail = address.slice(address.lastIndexOf(":") + 1);
  if (tail.includes(".")) {
    if (!isIpv4(tail)) return false;
    address = `${address.slice(0, -tail.length)}0:0`;
  }
  if (!/^[0-9a-fA-F:]+$/.test(address)) return false;
  const halves = address.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  return halves.length === 2 ? groups.length < 8 : groupsOf(address) === 8;
}

export function isIp(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

export function ipFamily(text: string): "IPv4" | "IPv6" | undefined {
  if (isIpv4(text)) return "IPv4";
  return isIpv6(text) ? "IPv6" : undefined;
}

/** The eight 16-bit groups of an IPv6 address. */
function expandIpv6(text: string): number[] {
  const tail = text.slice(text.lastIndexOf(":") + 1);
  const dotted = tail.includes(".") ? tail.split(".").map(Number) : [];
  const [a = 0, b = 0, c = 0, d = 0] = dotted;
  const address =
    dotted.length === 0
      ? text
      : `${text.slice(0, -tail.length)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  const [head = "", rest] = address.split("::");
  const parse = (half: string) => (half === "" ? [] : half.split(":").map((group) => Number.parseInt(group, 16)));
  const left = parse(head);
  const right = rest === undefined ? [] : parse(rest);
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/** RFC 5952. */
export function canonicalIp(text: string): string {
  if (!isIpv6(text)) return text;
  const groups = expandIpv6(text);
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}

/** Bits of an address, most significant first. */
export function ipBits(text: string): bigint {
  if (isIpv4(text)) return text.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  return expandIpv6(text).reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
}

export interface Cidr {
  readonly address: string;
  readonly family: "IPv4" | "IPv6";
  readonly prefixLength: number;
}

/** Undefined when `text` is no CIDR. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match?.[1] ?? "";
  const family = ipFamily(address);
  const prefixLength = Number(match?.[2]);
  if (match === null || family === undefined) return undefined;
  return prefixLength <= (family === "IPv4" ? 32 : 128) ? { address, family, prefixLength } : undefined;
}

/** No bits are set beyond the prefix. */
export function isMasked(cidr: Cidr): boolean {
  const width = cidr.family === "IPv4" ? 32 : 128;
  return (ipBits(cidr.address) & ((1n << BigInt(width - cidr.prefixLength)) - 1n)) === 0n;
}

export const ipRule = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
export const cidrRule = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** An address in canonical form, as newer fields want it. */
export function validateIp(errors: FieldErrors, path: string, value: string): void {
  if (!isIp(value)) errors.invalid(path, value, ipRule);
  else if (canonicalIp(value) !== value) {
    errors.invalid(path, value, `must be in canonical form (${JSON.stringify(canonicalIp(value))})`);
  }
}

/** An address in any form, as old fields allow. */
export function validateIpSloppy(errors: FieldErrors, path: string, value: string): void {
  if (!isIp(value)) errors.invalid(path, value, ipRule);
}

export function validateCidr(errors: FieldErrors, path: string, value: string): void {
  const cidr = parseCidr(value);
  if (cidr === undefined) errors.invalid(path, value, cidrRule);
  else if (!isMasked(cidr)) errors.invalid(path, value, "must not have bits set beyond the prefix length");
}

/** An address with the length of its network's prefix, in canonical form. Source: IsValidInterfaceAddress */
export function validateInterfaceAddress(errors: FieldErrors, path: string, value: string): void {
  const cidr = parseCidr(value);
  if (cidr === undefined) {
    return errors.invalid(path, value, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
  }
  const canonical = `${canonicalIp(cidr.address)}/${cidr.prefixLength}`;
  if (value !== canonical) errors.invalid(path, value, `must be in canonical form (${JSON.stringify(canonical)})`);
}

export function validateCidrSloppy(errors: FieldErrors, path: string, value: string): void {
  if (parseCidr(value) === undefined) errors.invalid(path, value, cidrRule);
}

/**
 * An address that traffic can be sent to. Text that is no address is left alone.
 * Source: core/validation ValidateEndpointIP; the ranges are Go's net.IP methods'
 */
export function validateEndpointIp(errors: FieldErrors, path: string, value: string): void {
  const family = ipFamily(value);
  if (family === undefined) return;
  const bits = ipBits(value);
  const width = family === "IPv4" ? 32n : 128n;
  const isIn = (prefix: bigint, length: bigint) => bits >> (width - length) === prefix;
  if (bits === 0n) errors.invalid(path, value, `may not be unspecified (${value})`);
  const [loopback, linkLocal, multicast] =
    family === "IPv4"
      ? [isIn(127n, 8n), isIn(0xa9fen, 16n), isIn(0xe00000n, 24n)]
      : [bits === 1n, isIn(0xfe80n >> 6n, 10n), isIn(0xff02n, 16n)];
  if (loopback) errors.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (linkLocal) errors.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (multicast) {
    errors.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}
