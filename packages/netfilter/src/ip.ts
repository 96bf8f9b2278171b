/** IP addresses and prefixes as numbers: parsing, canonical text, containment. Pure. Source: RFC 4291 2.2, RFC 5952 */

export type IpFamily = "ipv4" | "ipv6";

export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}

export interface IpPrefix extends IpAddress {
  /** Leading bits that count. */
  readonly length: number;
}

/** Bits of an address: 32 or 128. */
export function bitsOf(family: IpFamily): number {
  return family === "ipv4" ? 32 : 128;
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  let source = text;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(source);
  if (dotted !== null) {
    const tail = parseIpv4(dotted[2] ?? "");
    if (tail === undefined) return undefined;
    source = `${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = source.split("::");
  if (halves.length > 2) return undefined;
  const groupsOf = (half: string | undefined) => (half === undefined || half === "" ? [] : half.split(":"));
  const head = groupsOf(halves[0]);
  const tail = groupsOf(halves[1]);
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array<string>(missing).fill("0"), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

/** The address, or undefined when `text` is not one. Zones ("%eth0") are not addresses here. */
export function parseIp(text: string): IpAddress | undefined {
  const family: IpFamily = text.includes(":") ? "ipv6" : "ipv4";
  const value = family === "ipv6" ? parseIpv6(text) : parseIpv4(text);
  return value === undefined ? undefined : { family, value };
}

/** The prefix, host bits kept; an address without length is its own full-length prefix. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = bitsOf(address.family);
  const lengthText = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(lengthText) || Number(lengthText) > bits) return undefined;
  return { ...address, length: Number(lengthText) };
}

/** The text form that the kernel's tools print: dotted for IPv4, RFC 5952 for IPv6. */
export function formatIp(address: IpAddress): string {
  if (address.family === "ipv4") {
    return [24n, 16n, 8n, 0n].map((shift) => String((address.value >> shift) & 0xffn)).join(".");
  }
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((address.value >> shift) & 0xffffn).toString(16));
  const joined = groups.join(":");
  const runs = joined.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  if (longest === "") return joined;
  const at = joined.indexOf(longest);
  const before = joined.slice(0, at);
  const after = joined.slice(at + longest.length).replace(/^:/, "");
  return `${before}::${after}`;
}

/** The prefix with its host bits cleared: "10.1.2.3/8" is "10.0.0.0/8". */
export function formatPrefix(prefix: IpPrefix): string {
  const hostBits = BigInt(bitsOf(prefix.family) - prefix.length);
  const value = (prefix.value >> hostBits) << hostBits;
  return `${formatIp({ family: prefix.family, value })}/${prefix.length}`;
}

/** Whether `address` (text) lies in `prefix` (text); false for different families and for what does not parse. */
export function prefixContains(prefix: string, address: string): boolean {
  const outer = parsePrefix(prefix);
  const inner = parsePrefix(address);
  if (outer === undefined || inner === undefined || outer.family !== inner.family || inner.length < outer.length) {
    return false;
  }
  const hostBits = BigInt(bitsOf(outer.family) - outer.length);
  return outer.value >> hostBits === inner.value >> hostBits;
}

/** "ipv6" when the address or prefix has a colon, whether or not it parses. */
export function familyOf(text: string): IpFamily {
  return text.includes(":") ? "ipv6" : "ipv4";
}

/** "10.0.0.1:80", "[fd00::1]:80". */
export function joinHostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
