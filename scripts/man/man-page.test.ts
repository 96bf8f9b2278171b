import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHelp, renderManPage } from "./man-page.ts";

const help = `Usage: kube-x [options]

Does X.

Options:
  -v, --v <int>      number for the log level (default 0)
  --path <a\\b>       .hidden
                     and more
  -h, --help         display help for command
`;

test("parseHelp() reads flags with their texts over several lines", () => {
  const parsed = parseHelp(help);
  assert.equal(parsed.name, "kube-x");
  assert.equal(parsed.description, "Does X.");
  assert.deepEqual(parsed.flags[1], { flag: "--path <a\\b>", text: ".hidden and more" });
  assert.throws(() => parseHelp("error: unknown flag"), /not a daemon's --help/);
});

test("renderManPage() escapes what roff would take for its own", () => {
  const page = renderManPage(parseHelp(help), "README.md");
  assert.match(page, /^\.B \\-\\-path <a\\eb>$/m);
  assert.match(page, /^\\&\.hidden and more$/m);
});
