/**
 * IPv4 and IPv6 addresses and blocks as numbers: parsing, containment, counting. Pure.
 *
 * Example: parseCidr("10.96.0.0/12") -> { family: "IPv4", base: 0x0a600000n, bits: 12, size: 1048576n }
 */

export type IpFamily = "IPv4" | "IPv6";

export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}

export interface Cidr {
  readonly family: IpFamily;
  readonly base: bigint;
  readonly bits: number;
  readonly size: bigint;
}

export function parseIp(text: string): IpAddress | undefined {
  if (text.includes(":")) {
    const value = parseIpv6(text);
    return value === undefined ? undefined : { family: "IPv6", value };
  }
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0n;
  for (const octet of match.slice(1)) {
    if (Number(octet) > 255 || (octet.length > 1 && octet.startsWith("0"))) return undefined;
    value = (value << 8n) | BigInt(octet);
  }
  return { family: "IPv4", value };
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const words = (half: string | undefined) => (half === undefined || half === "" ? [] : half.split(":"));
  const head = words(halves[0]);
  const tail = words(halves[1]);
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const word of [...head, ...Array<string>(Math.max(0, missing)).fill("0"), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(word)) return undefined;
    value = (value << 16n) | BigInt(Number.parseInt(word, 16));
  }
  return value;
}

/** Canonical text; IPv6 after RFC 5952. */
export function formatIp(address: IpAddress): string {
  if (address.family === "IPv4") {
    return [24n, 16n, 8n, 0n].map((shift) => (address.value >> shift) & 255n).join(".");
  }
  const words = Array.from({ length: 8 }, (_, i) => ((address.value >> BigInt(16 * (7 - i))) & 0xffffn).toString(16));
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i += 1) {
    let length = 0;
    while (i + length < 8 && words[i + length] === "0") length += 1;
    if (length > best.length) best = { at: i, length };
  }
  if (best.at < 0) return words.join(":");
  return `${words.slice(0, best.at).join(":")}::${words.slice(best.at + best.length).join(":")}`;
}

/** The block, or undefined when the text is none; host bits are cleared. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^(.+)\/(\d{1,3})$/.exec(text.trim());
  const address = parseIp(match?.[1] ?? "");
  if (match === null || address === undefined) return undefined;
  const width = address.family === "IPv4" ? 32 : 128;
  const bits = Number(match[2]);
  if (bits > width) return undefined;
  const size = 1n << BigInt(width - bits);
  return { family: address.family, base: address.value - (address.value % size), bits, size };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp({ family: cidr.family, value: cidr.base })}/${cidr.bits}`;
}

export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  return address.family === cidr.family && address.value >= cidr.base && address.value < cidr.base + cidr.size;
}

/** The address `offset` places after the block's base. */
export function addressAt(cidr: Cidr, offset: bigint): string {
  return formatIp({ family: cidr.family, value: cidr.base + offset });
}
