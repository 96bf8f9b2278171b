/**
 * The names that a PKCS #10 request asks for. Reads only as far as the subject; node:crypto reads no requests.
 *
 *   CertificationRequest ::= SEQUENCE { CertificationRequestInfo, ... }
 *   CertificationRequestInfo ::= SEQUENCE { version INTEGER, subject Name, ... }
 *   Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
 * Source: RFC 2986 4, RFC 5280 4.1.2.4, X.690 8.1
 */

/** 2.5.4.3 */
const COMMON_NAME = Buffer.from([0x55, 0x04, 0x03]);
/** 2.5.4.10 */
const ORGANIZATION = Buffer.from([0x55, 0x04, 0x0a]);
const [INTEGER, OBJECT_ID, SEQUENCE, SET, BMP_STRING] = [0x02, 0x06, 0x30, 0x31, 0x1e];

interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly rest: Buffer;
}

export interface RequestSubject {
  readonly commonNames: readonly string[];
  readonly organizations: readonly string[];
}

/** `request`: base64 of the PEM text, as spec.request has it. Undefined when it is no such request. */
export function requestSubject(request: string): RequestSubject | undefined {
  const pem = Buffer.from(request, "base64").toString("latin1");
  const body = /-----BEGIN CERTIFICATE REQUEST-----([\s\S]*?)-----END CERTIFICATE REQUEST-----/.exec(pem)?.[1];
  if (body === undefined) return undefined;
  const info = enter(enter(Buffer.from(body, "base64"), SEQUENCE), SEQUENCE);
  const version = read(info);
  if (version?.tag !== INTEGER) return undefined;
  const subject = enter(version.rest, SEQUENCE);
  if (subject === undefined) return undefined;
  const [commonNames, organizations]: [string[], string[]] = [[], []];
  for (const set of elements(subject)) {
    for (const attribute of set.tag === SET ? elements(set.content) : []) {
      const [type, value] = [...elements(attribute.content)];
      if (type?.tag !== OBJECT_ID || value === undefined) continue;
      if (type.content.equals(ORGANIZATION)) organizations.push(textOf(value));
      if (type.content.equals(COMMON_NAME)) commonNames.push(textOf(value));
    }
  }
  return { commonNames, organizations };
}

function enter(bytes: Buffer | undefined, tag: number): Buffer | undefined {
  const element = read(bytes);
  return element?.tag === tag ? element.content : undefined;
}

function* elements(bytes: Buffer): Generator<Element> {
  for (let element = read(bytes); element !== undefined; element = read(element.rest)) yield element;
}

function read(bytes: Buffer | undefined): Element | undefined {
  const [tag, first] = [bytes?.[0], bytes?.[1]];
  if (bytes === undefined || tag === undefined || first === undefined) return undefined;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  // Requests are far below 16 MiB; 0x80 alone would be the indefinite form, which DER has not.
  if (first >= 0x80 && (lengthBytes === 0 || lengthBytes > 3)) return undefined;
  const start = 2 + lengthBytes;
  if (bytes.length < start) return undefined;
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(2, lengthBytes);
  if (bytes.length < start + length) return undefined;
  return { tag, content: bytes.subarray(start, start + length), rest: bytes.subarray(start + length) };
}

function textOf({ tag, content }: Element): string {
  return tag === BMP_STRING ? Buffer.from(content).swap16().toString("utf16le") : content.toString("utf8");
}
