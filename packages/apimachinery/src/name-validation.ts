/**
 * Rules for names, labels and keys. Each function returns upstream's complaints, none when the text is fine.
 * Source: k8s.io/apimachinery/pkg/util/validation/validation.go, pkg/api/validate/content
 */
import { utf8Length } from "./go-text.ts";

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE = `(${QUALIFIED})?`;
const WILDCARD = `\\*\\.${SUBDOMAIN}`;

const patterns = {
  label: new RegExp(`^${LABEL}$`),
  subdomain: new RegExp(`^${SUBDOMAIN}$`),
  dns1035: new RegExp(`^${DNS1035}$`),
  qualified: new RegExp(`^${QUALIFIED}$`),
  labelValue: new RegExp(`^${LABEL_VALUE}$`),
  wildcard: new RegExp(`^${WILDCARD}$`),
};

const LABEL_MESSAGE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', " +
  "and must start and end with an alphanumeric character";
const SUBDOMAIN_MESSAGE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " +
  "and must start and end with an alphanumeric character";
const DNS1035_MESSAGE =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, " +
  "and end with an alphanumeric character";
const QUALIFIED_MESSAGE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_MESSAGE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', " +
  "and must start and end with an alphanumeric character";
const WILDCARD_MESSAGE =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, " +
  "which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";

/** `must be no more than 63 bytes`: of label keys and values. Names count "characters". */
function tooManyBytes(max: number): string {
  return `must be no more than ${max} bytes`;
}

export function tooManyCharacters(max: number): string {
  return `must be no more than ${max} characters`;
}

/** `message (e.g. 'a',  or 'b', regex used for validation is 'x')`, two spaces and all. */
export function regexComplaint(message: string, format: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${format}')`;
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${message} (e.g. ${shown}regex used for validation is '${format}')`;
}

interface Format {
  readonly pattern: RegExp;
  readonly max: number;
  readonly complaint: (text: string) => string;
  readonly tooLong: (max: number) => string;
}

function check(text: string, { pattern, max, complaint, tooLong }: Format): string[] {
  const isMatch = pattern.test(text);
  // Almost every name is fine, and what matches is ASCII: its length is its number of bytes.
  if (isMatch && text.length <= max) return [];
  const errors = utf8Length(text) > max ? [tooLong(max)] : [];
  if (!isMatch) errors.push(complaint(text));
  return errors;
}

const label: Format = {
  pattern: patterns.label,
  max: 63,
  complaint: (text) =>
    patterns.subdomain.test(text)
      ? "must not contain dots"
      : regexComplaint(LABEL_MESSAGE, LABEL, "my-name", "123-abc"),
  tooLong: tooManyCharacters,
};
const subdomain: Format = {
  pattern: patterns.subdomain,
  max: 253,
  complaint: () => regexComplaint(SUBDOMAIN_MESSAGE, SUBDOMAIN, "example.com"),
  tooLong: tooManyCharacters,
};
/** The same rule where it is part of a label's key: newer code upstream, which counts "bytes". */
const keyPrefix: Format = { ...subdomain, tooLong: tooManyBytes };
const dns1035: Format = {
  pattern: patterns.dns1035,
  max: 63,
  complaint: () => regexComplaint(DNS1035_MESSAGE, DNS1035, "my-name", "abc-123"),
  tooLong: tooManyCharacters,
};
const labelValue: Format = {
  pattern: patterns.labelValue,
  max: 63,
  complaint: () => regexComplaint(LABEL_VALUE_MESSAGE, LABEL_VALUE, "MyValue", "my_value", "12345"),
  tooLong: tooManyBytes,
};
const wildcard: Format = {
  pattern: patterns.wildcard,
  max: 253,
  complaint: () => regexComplaint(WILDCARD_MESSAGE, WILDCARD, "*.example.com"),
  tooLong: tooManyCharacters,
};

export function isDns1123Label(text: string): string[] {
  return check(text, label);
}

export function isDns1123Subdomain(text: string): string[] {
  return check(text, subdomain);
}

export function isDns1035Label(text: string): string[] {
  return check(text, dns1035);
}

/** `*.example.com`. */
export function isWildcardDns1123Subdomain(text: string): string[] {
  return check(text, wildcard);
}

/** Label keys, finalizers, names of resources: `name` or `prefix/name`. */
export function isQualifiedName(text: string): string[] {
  const parts = text.split("/", 3);
  const complaint = () => regexComplaint(QUALIFIED_MESSAGE, QUALIFIED, "MyName", "my.name", "123-abc");
  if (parts.length > 2) {
    return [
      `a valid label key ${complaint()} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  const name = parts.at(-1) ?? "";
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    if (prefix === "") errors.push("prefix part must be non-empty");
    else errors.push(...check(prefix, keyPrefix).map((error) => `prefix part ${error}`));
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (utf8Length(name) > 63) errors.push(`name part ${tooManyBytes(63)}`);
  if (!patterns.qualified.test(name)) errors.push(`name part ${complaint()}`);
  return errors;
}

/** Annotation keys: as label keys, in either case. */
export function isAnnotationKey(text: string): string[] {
  return isQualifiedName(text.toLowerCase());
}

export function isLabelValue(text: string): string[] {
  return check(text, labelValue);
}

/** Of all annotations of an object together, keys and values. */
export const ANNOTATIONS_LIMIT_BYTES = 256 * 1024;

export function annotationsSizeBytes(annotations: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const key of Object.keys(annotations)) bytes += utf8Length(key) + utf8Length(annotations[key] ?? "");
  return bytes;
}
