/**
 * What Go's encoding/json says of a text that is no JSON. Only used when parsing has failed: the answer is the point, not the speed.
 * Source: Go encoding/json, scanner.go
 */
import { quoteGo } from "./go-text.ts";

const ENDED = "unexpected end of JSON input";

class Complaint extends Error {}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): void {
    // Nesting is kept in a list: a hostile text is deeper than the stack.
    const open: ("}" | "]")[] = [];
    this.#value(open);
    while (open.length > 0) {
      const closer = open.at(-1);
      const char = this.#peekAfterBlanks();
      if (char === closer) {
        this.#at++;
        open.pop();
      } else if (char === ",") {
        this.#at++;
        if (closer === "}") this.#key();
        this.#value(open);
      } else this.#fail(closer === "}" ? "after object key:value pair" : "after array element");
    }
    if (this.#peekAfterBlanks() !== undefined) this.#fail("after top-level value");
  }

  #fail(context: string): never {
    const char = this.#codePoint();
    throw new Complaint(char === undefined ? ENDED : `invalid character ${quoteChar(char)} ${context}`);
  }

  #codePoint(): string | undefined {
    const code = this.#text.codePointAt(this.#at);
    return code === undefined ? undefined : String.fromCodePoint(code);
  }

  #peekAfterBlanks(): string | undefined {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text[this.#at];
  }

  /** Reads a value whole, or opens a list or object with what comes first in it. */
  #value(open: ("}" | "]")[]): void {
    for (;;) {
      const char = this.#peekAfterBlanks();
      if (char === "{") {
        this.#at++;
        open.push("}");
        if (this.#peekAfterBlanks() === "}") return;
        this.#key();
      } else if (char === "[") {
        this.#at++;
        open.push("]");
        if (this.#peekAfterBlanks() === "]") return;
      } else {
        this.#scalar(char);
        return;
      }
    }
  }

  #key(): void {
    if (this.#peekAfterBlanks() !== '"') this.#fail("looking for beginning of object key string");
    this.#string();
    if (this.#peekAfterBlanks() !== ":") this.#fail("after object key");
    this.#at++;
  }

  #scalar(char: string | undefined): void {
    if (char === '"') this.#string();
    else if (char === "t") this.#literal("true");
    else if (char === "f") this.#literal("false");
    else if (char === "n") this.#literal("null");
    else if (char !== undefined && /[-0-9]/.test(char)) this.#number();
    else this.#fail("looking for beginning of value");
  }

  #literal(word: string): void {
    for (const expected of word) {
      if (this.#text[this.#at] !== expected) this.#fail(`in literal ${word} (expecting ${quoteChar(expected)})`);
      this.#at++;
    }
  }

  #digits(context: string): void {
    if (!/\d/.test(this.#text[this.#at] ?? "")) this.#fail(context);
    while (/\d/.test(this.#text[this.#at] ?? "")) this.#at++;
  }

  #number(): void {
    if (this.#text[this.#at] === "-") this.#at++;
    if (this.#text[this.#at] === "0") this.#at++;
    else this.#digits("in numeric literal");
    if (this.#text[this.#at] === ".") {
      this.#at++;
      this.#digits("after decimal point in numeric literal");
    }
    if (/[eE]/.test(this.#text[this.#at] ?? "")) {
      this.#at++;
      if (/[-+]/.test(this.#text[this.#at] ?? "")) this.#at++;
      this.#digits("in exponent of numeric literal");
    }
  }

  #string(): void {
    for (this.#at++; ; this.#at++) {
      const char = this.#text[this.#at];
      if (char === undefined || char < " ") this.#fail("in string literal");
      if (char === '"') break;
      if (char === "\\") this.#escape();
    }
    this.#at++;
  }

  #escape(): void {
    this.#at++;
    const char = this.#text[this.#at];
    if (char === "u") {
      for (let i = 0; i < 4; i++) {
        this.#at++;
        if (!/[0-9a-fA-F]/.test(this.#text[this.#at] ?? "")) this.#fail("in \\u hexadecimal character escape");
      }
    } else if (char === undefined || !'"\\/bfnrt'.includes(char)) this.#fail("in string escape code");
  }
}

/** `'x'`, `'\n'`, `'\''`, `'"'`. */
function quoteChar(char: string): string {
  if (char === "'") return "'\\''";
  if (char === '"') return "'\"'";
  return `'${quoteGo(char).slice(1, -1)}'`;
}

/** The complaint, or undefined for a text that is JSON. */
export function jsonComplaint(text: string): string | undefined {
  try {
    new Scanner(text).scan();
    return undefined;
  } catch (error) {
    if (error instanceof Complaint) return error.message;
    throw error;
  }
}
