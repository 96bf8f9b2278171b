/** Numbers of the DNS protocol. Source: IANA DNS parameters; RFC 1035, 2782, 3596, 6891 */

export const types = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;
export type Rcode = (typeof rcodes)[keyof typeof rcodes];

export const CLASS_IN = 1;

/** Bits of the header's second word. */
export const flagBits = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  AD: 0x0020,
  CD: 0x0010,
  RCODE: 0x000f,
} as const;

/** What we announce and keep to over UDP: no fragments on any usual path. Source: DNS flag day 2020 */
export const MAX_UDP_BYTES = 1232;
/** Without EDNS. Source: RFC 1035 4.2.1 */
export const PLAIN_UDP_BYTES = 512;
export const HEADER_BYTES = 12;

export function typeName(type: number): string {
  for (const [name, value] of Object.entries(types)) if (value === type) return name;
  return `TYPE${type}`;
}

export function rcodeName(rcode: number): string {
  for (const [name, value] of Object.entries(rcodes)) if (value === rcode) return name;
  return `RCODE${rcode}`;
}
