import assert from "node:assert/strict";
import test from "node:test";
import { EnvFileError, readEnvFile } from "./env-file.ts";

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: a shell would expand these, we do not.
const good: { name: string; text: string; want: string | undefined }[] = [
  { name: "plain", text: "KEY='value'\n", want: "value" },
  { name: "no last newline", text: "KEY='value'", want: "value" },
  { name: "blanks around and comments", text: "# c\n\n  \t\n  A='1'\n\tKEY = 'v'  \n", want: "v" },
  { name: "several lines and a hash in quotes", text: "KEY='a\n# b\nc'\nB='2'\n", want: "a\n# b\nc" },
  { name: "nothing is expanded", text: "KEY='$A ${B} \\n \"x\"'\n", want: '$A ${B} \\n "x"' },
  { name: "empty", text: "KEY=''\n", want: "" },
  { name: "the first of a name", text: "KEY='1'\nKEY='2'\n", want: "1" },
  { name: "absent", text: "A='1'\n", want: undefined },
  { name: "carriage returns", text: "A='1'\r\nKEY='2'\r\n", want: "2" },
  { name: "an equals sign in the value", text: "KEY='a=b'\n", want: "a=b" },
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: see above.
for (const { name, text, want } of good) {
  test(`readEnvFile() reads ${name}`, () => assert.equal(readEnvFile(text, "KEY"), want));
}

const bad: { name: string; text: string; line: number }[] = [
  { name: "an unquoted value", text: "A='1'\nKEY=value\n", line: 2 },
  { name: "double quotes", text: 'KEY="value"\n', line: 1 },
  { name: "adjacent strings", text: "KEY='a''b'\n", line: 1 },
  { name: "concatenation", text: "KEY='a'$B\n", line: 1 },
  { name: "no equals sign", text: "A='x\ny'\nKEY\n", line: 3 },
  { name: "no name", text: "='v'\n", line: 1 },
  { name: "an open quote", text: "KEY='v\n", line: 1 },
];
for (const { name, text, line } of bad) {
  test(`readEnvFile() refuses ${name} and names the line`, () => {
    assert.throws(
      () => readEnvFile(text, "KEY"),
      (error: unknown) => error instanceof EnvFileError && error.message.endsWith(`at line ${line}`),
    );
  });
}
