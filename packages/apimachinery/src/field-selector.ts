/** Field selectors: `metadata.name=web,status.phase!=Running`. Source: k8s.io/apimachinery/pkg/fields/selector.go */

export interface FieldRequirement {
  readonly field: string;
  readonly op: "=" | "!=";
  readonly value: string;
}

/** Thrown for text that is no field selector; the message is made for clients (400). */
export class FieldSelectorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FieldSelectorError";
  }
}

/** A conjunction of requirements; none matches everything. */
export class FieldSelector {
  readonly requirements: readonly FieldRequirement[];

  constructor(requirements: readonly FieldRequirement[]) {
    this.requirements = requirements;
  }

  get isEmpty(): boolean {
    return this.requirements.length === 0;
  }

  /** A field that is absent has the value "". */
  matches(fields: Readonly<Record<string, string>>): boolean {
    return this.requirements.every(
      ({ field, op, value }) => ((Object.hasOwn(fields, field) ? fields[field] : "") === value) === (op === "="),
    );
  }

  /** The value that the field must have, if the selector asks for exactly one. */
  exactValue(field: string): string | undefined {
    return this.requirements.find((requirement) => requirement.field === field && requirement.op === "=")?.value;
  }

  toString(): string {
    return this.requirements.map(({ field, op, value }) => `${field}${op}${escapeValue(value)}`).join(",");
  }
}

/** Backslashes, commas and equals signs of a value must be escaped. */
export function escapeValue(value: string): string {
  return value.replace(/[\\,=]/g, "\\$&");
}

/**
 * Terms are sorted. `==` is `=`; the first operator of a term divides it, and only values know escapes. Throws
 * FieldSelectorError in upstream's words.
 */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text).sort()) {
    if (term === "") continue;
    const match = /!=|==?/.exec(term);
    if (match === null) throw new FieldSelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    const value = unescapeValue(term.slice(match.index + match[0].length));
    requirements.push({ field: term.slice(0, match.index), op: match[0] === "!=" ? "!=" : "=", value });
  }
  return new FieldSelector(requirements);
}

/** Splits at commas that no backslash escapes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === ",") {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescapeValue(value: string): string {
  if (!/[\\,=]/.test(value)) return value;
  return value.replace(/\\(.?)|[,=]/gsu, (whole, escaped: string | undefined) => {
    if (escaped === undefined) {
      // Upstream prints the number of the character.
      throw new FieldSelectorError(`invalid field selector: unescaped character in value: ${whole.codePointAt(0)}`);
    }
    if (escaped === "\\" || escaped === "," || escaped === "=") return escaped;
    throw new FieldSelectorError(`invalid field selector: invalid escape sequence: ${whole}`);
  });
}
