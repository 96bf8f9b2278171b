/** Rules for names of objects, ports, keys and variables. Source: k8s.io/apimachinery/pkg/{api,util}/validation */
import { isDns1035Label, isDns1123Label, isDns1123Subdomain } from "@knarr/apimachinery/name-validation.ts";

/** Checks of a metadata.name; each text is a complaint. `prefix` means: generated characters will follow. */
export type NameRule = (name: string, prefix: boolean) => string[];

/** A trailing dash of a prefix is fine: characters follow it. Source: maskTrailingDash, its cut of two characters included */
function maskTrailingDash(name: string): string {
  return name.length > 1 && name.endsWith("-") ? `${name.slice(0, -2)}a` : name;
}

function rule(check: (name: string) => string[]): NameRule {
  return (name, prefix) => check(prefix ? maskTrailingDash(name) : name);
}

export const subdomainName: NameRule = rule((name) => isDns1123Subdomain(name));
export const labelName: NameRule = rule((name) => isDns1123Label(name));
export const dns1035Name: NameRule = rule((name) => isDns1035Label(name));

/** RBAC names: anything that can stand in a URL path. Source: pkg/api/validation/path */
export const pathSegmentName: NameRule = (name, prefix) => isPathSegment(name, prefix);

function isPathSegment(name: string, prefix: boolean): string[] {
  if (!prefix && (name === "." || name === "..")) return [`may not be '${name}'`];
  return ["/", "%"].filter((char) => name.includes(char)).map((char) => `may not contain '${char}'`);
}

function regexError(message: string, format: string, ...examples: string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return examples.length === 0
    ? `${message} (regex used for validation is '${format}')`
    : `${message} (e.g. ${shown}regex used for validation is '${format}')`;
}

export function rangeError(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

export function portNumberErrors(port: number): string[] {
  return Number.isInteger(port) && port >= 1 && port <= 65535 ? [] : [rangeError(1, 65535)];
}

/** RFC 6335 service names. */
export function portNameErrors(name: string): string[] {
  const errors: string[] = [];
  if (name.length > 15) errors.push("must be no more than 15 characters");
  if (!/^[-a-z0-9]+$/.test(name)) errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(name)) errors.push("must contain at least one letter (a-z)");
  if (name.includes("--")) errors.push("must not contain consecutive hyphens");
  if (name.startsWith("-") || name.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors;
}

/** Since 1.34 any printable ASCII but "=". */
export function envNameErrors(name: string): string[] {
  if (name === "") return ["environment variable name must be non-empty"];
  if (/^[\x20-\x3c\x3e-\x7e]*$/.test(name)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Keys of ConfigMaps and Secrets, which become file names. */
export function configKeyErrors(key: string): string[] {
  const errors: string[] = [];
  if (key.length > 253) errors.push("must be no more than 253 characters");
  if (!/^[-._a-zA-Z0-9]+$/.test(key)) {
    const message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    errors.push(regexError(message, "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name"));
  }
  if (key === "." || key === "..") errors.push(`must not be '${key}'`);
  else if (key.startsWith("..")) errors.push("must not start with '..'");
  return errors;
}

export function percentErrors(text: string): string[] {
  if (/^[0-9]+%$/.test(text)) return [];
  const message = "a valid percent string must be a numeric string followed by an ending '%'";
  return [regexError(message, "[0-9]+%", "1%", "93%")];
}

export function httpHeaderNameErrors(name: string): string[] {
  if (/^[-A-Za-z0-9]+$/.test(name)) return [];
  const message = "a valid HTTP header must consist of alphanumeric characters or '-'";
  return [regexError(message, "[-A-Za-z0-9]+", "X-Header-Name")];
}

export function cIdentifierErrors(name: string): string[] {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return [];
  const message =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
  return [regexError(message, "[A-Za-z_][A-Za-z0-9_]*", "my_name", "MY_NAME", "MyName")];
}

export function userIdErrors(id: number): string[] {
  return id >= 0 && id <= 2147483647 ? [] : [rangeError(0, 2147483647)];
}
