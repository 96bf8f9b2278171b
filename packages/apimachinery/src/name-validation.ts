/**
 * Rules for names, labels and keys. Each function returns upstream's complaints, none when the text is fine.
 * Source: k8s.io/apimachinery/pkg/util/validation/validation.go
 */
const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE = `(${QUALIFIED})?`;

const patterns = {
  label: new RegExp(`^${LABEL}$`),
  subdomain: new RegExp(`^${SUBDOMAIN}$`),
  dns1035: new RegExp(`^${DNS1035}$`),
  qualified: new RegExp(`^${QUALIFIED}$`),
  labelValue: new RegExp(`^${LABEL_VALUE}$`),
};

function tooLong(max: number): string {
  return `must be no more than ${max} ${max === 1 ? "byte" : "bytes"}`;
}

/** `message (e.g. 'a',  or 'b', regex used for validation is 'x')`, two spaces and all. */
function regexError(message: string, format: string, ...examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${message} (e.g. ${shown}regex used for validation is '${format}')`;
}

export function isDns1123Label(text: string): string[] {
  const errors: string[] = [];
  if (text.length > 63) errors.push(tooLong(63));
  if (!patterns.label.test(text)) {
    if (patterns.subdomain.test(text)) errors.push("must not contain dots");
    else {
      const message =
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
      errors.push(regexError(message, LABEL, "my-name", "123-abc"));
    }
  }
  return errors;
}

export function isDns1123Subdomain(text: string): string[] {
  const errors: string[] = [];
  if (text.length > 253) errors.push(tooLong(253));
  if (!patterns.subdomain.test(text)) {
    const message =
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    errors.push(regexError(message, SUBDOMAIN, "example.com"));
  }
  return errors;
}

export function isDns1035Label(text: string): string[] {
  const errors: string[] = [];
  if (text.length > 63) errors.push(tooLong(63));
  if (!patterns.dns1035.test(text)) {
    const message =
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
    errors.push(regexError(message, DNS1035, "my-name", "abc-123"));
  }
  return errors;
}

/** Label keys, annotation keys, finalizers: `name` or `prefix/name`. */
export function isQualifiedName(text: string): string[] {
  const errors: string[] = [];
  const parts = text.split("/");
  let name = text;
  if (parts.length > 2) {
    const message =
      "a valid qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    return [
      `${regexError(`a qualified name${message.slice("a valid qualified name".length)}`, QUALIFIED, "MyName", "my.name", "123-abc")} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  if (parts.length === 2) {
    const [prefix = "", rest = ""] = parts;
    name = rest;
    if (prefix === "") errors.push("prefix part must be non-empty");
    else errors.push(...isDns1123Subdomain(prefix).map((error) => `prefix part ${error}`));
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push(`name part ${tooLong(63)}`);
  if (!patterns.qualified.test(name)) {
    const message =
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    errors.push(regexError(message, QUALIFIED, "MyName", "my.name", "123-abc"));
  }
  return errors;
}

export function isLabelValue(text: string): string[] {
  const errors: string[] = [];
  if (text.length > 63) errors.push(tooLong(63));
  if (!patterns.labelValue.test(text)) {
    const message =
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    errors.push(regexError(message, LABEL_VALUE, "MyValue", "my_value", "12345"));
  }
  return errors;
}
