/**
 * Reads one variable out of an env file. The format is the part of a POSIX shell's in which nothing needs interpreting:
 *
 *   # a comment
 *   NAME = 'any text, over
 *   several lines'
 * Pure. Source: KEP-3721; kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file
 */

export class EnvFileError extends Error {}

const BLANK = /[ \t]/;

/** undefined: the file does not have it. Throws EnvFileError with the line for what is not in the format. */
export function readEnvFile(text: string, key: string): string | undefined {
  let at = 0;
  let line = 1;
  const fail = (): never => {
    throw new EnvFileError(`invalid environment variable format at line ${line}`);
  };
  const skipBlanks = () => {
    while (BLANK.test(text[at] ?? "")) at++;
  };
  const endLine = () => {
    skipBlanks();
    if (text[at] === "\r") at++;
    if (at < text.length && text[at] !== "\n") fail();
    at++;
    line++;
  };
  while (at < text.length) {
    skipBlanks();
    if (text[at] === "#") {
      const end = text.indexOf("\n", at);
      at = end === -1 ? text.length : end;
    }
    if (at >= text.length) break;
    if (text[at] === "\n" || text[at] === "\r") {
      endLine();
      continue;
    }
    const equals = text.indexOf("=", at);
    const name = equals === -1 ? fail() : text.slice(at, equals).trimEnd();
    if (name === "" || /[\s'"]/.test(name)) fail();
    at = equals + 1;
    skipBlanks();
    if (text[at] !== "'") fail();
    const close = text.indexOf("'", at + 1);
    if (close === -1) fail();
    const value = text.slice(at + 1, close);
    at = close + 1;
    const startLine = line;
    endLine();
    line = startLine + value.split("\n").length;
    if (name === key) return value;
  }
  return undefined;
}
