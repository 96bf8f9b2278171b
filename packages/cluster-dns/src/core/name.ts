/**
 * Domain names. On the wire a name is labels with length bytes; as a Map key it is the same bytes, lowercased, as a
 * latin1 string, so that a dot inside a label can never be taken for the dot between two. Source: RFC 1035 3.1, RFC 4343
 *
 * Example: "web.default" is 03 'w' 'e' 'b' 07 'd' 'e' 'f' 'a' 'u' 'l' 't' 00 on the wire.
 */

export const MAX_NAME_BYTES = 255;
export const MAX_LABEL_BYTES = 63;

/** The wire form of a name in dotted text; the trailing dot may be absent. Throws RangeError for what is no name. */
export function encodeName(text: string): Buffer {
  const trimmed = text.endsWith(".") ? text.slice(0, -1) : text;
  if (trimmed === "") return Buffer.from([0]);
  const parts: Buffer[] = [];
  for (const label of trimmed.split(".")) {
    const bytes = Buffer.from(label, "latin1");
    if (bytes.length === 0 || bytes.length > MAX_LABEL_BYTES) throw new RangeError(`not a domain name: ${text}`);
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  const name = Buffer.concat([...parts, Buffer.from([0])]);
  if (name.length > MAX_NAME_BYTES) throw new RangeError(`not a domain name: ${text}`);
  return name;
}

/** The key under which a name is looked up. */
export function nameKey(text: string): string {
  return encodeName(text.toLowerCase()).toString("latin1");
}

/** Dotted text with a trailing dot; dots, backslashes and unprintable bytes inside labels are escaped. */
export function nameText(wire: Uint8Array): string {
  let text = "";
  let at = 0;
  for (let length = wire[at++] ?? 0; length > 0; length = wire[at++] ?? 0) {
    for (const end = at + length; at < end; at++) {
      const byte = wire[at] ?? 0;
      if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
      else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
      else text += `\\${String(byte).padStart(3, "0")}`;
    }
    text += ".";
  }
  return text === "" ? "." : text;
}

/** The four or sixteen bytes of an IP address, or undefined. */
export function addressBytes(text: string): Buffer | undefined {
  return text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
}

function ipv4Bytes(text: string): Buffer | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = Buffer.alloc(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] ?? "";
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function ipv6Bytes(text: string): Buffer | undefined {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted === null ? undefined : ipv4Bytes(dotted[2] ?? "");
  if (dotted !== null && tail === undefined) return undefined;
  const source = tail === undefined ? text : `${dotted?.[1]}${tail.toString("hex", 0, 2)}:${tail.toString("hex", 2)}`;
  const halves = source.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string | undefined) => (half === undefined || half === "" ? [] : half.split(":"));
  const head = groups(halves[0]);
  const rest = groups(halves[1]);
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = Buffer.alloc(16);
  for (const [i, group] of [...head, ...Array<string>(missing).fill("0"), ...rest].entries()) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  }
  return bytes;
}

/** "10.96.0.1" -> "1.0.96.10.in-addr.arpa"; nibbles below ip6.arpa for IPv6. Source: RFC 1035 3.5, RFC 3596 2.5 */
export function reverseName(address: Buffer): string {
  if (address.length === 4) return `${[...address].reverse().join(".")}.in-addr.arpa`;
  return `${[...address.toString("hex")].reverse().join(".")}.ip6.arpa`;
}

/** The text of four or sixteen bytes; IPv6 as RFC 5952 wants it. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  const joined = groups.join(":");
  const runs = joined.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  if (longest === "") return joined;
  const at = joined.indexOf(longest);
  return `${joined.slice(0, at)}::${joined.slice(at + longest.length).replace(/^:/, "")}`;
}
