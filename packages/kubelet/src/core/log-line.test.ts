import assert from "node:assert/strict";
import { test } from "node:test";
import { LogFormatter, LogQueryError, parseLogLine, parseLogOptions } from "./log-line.ts";

const NOW = Date.parse("2026-01-02T03:04:05Z");
const parse = (query: string) => parseLogOptions(new URLSearchParams(query), NOW);

const WRONG: readonly [query: string, status: number, text: string][] = [
  ["tailLines=x", 400, '{"message": "Unable to decode query."}'],
  ["tail=x", 400, '{"message": "Unable to decode query."}'],
  ["limitBytes=1.5", 400, '{"message": "Unable to decode query."}'],
  ["sinceTime=yesterday", 400, '{"message": "Unable to decode query."}'],
  ["tailLines=-1", 422, '{"message": "Invalid request."}'],
  ["limitBytes=0", 422, '{"message": "Invalid request."}'],
  ["sinceSeconds=0", 422, '{"message": "Invalid request."}'],
  ["sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", 422, '{"message": "Invalid request."}'],
  ["stream=stdout", 422, '{"message": "Invalid request."}'],
  ["stream=Stdout&tailLines=1", 422, '{"message": "Invalid request."}'],
];
for (const [query, status, text] of WRONG) {
  test(`parseLogOptions() refuses ?${query} with ${status}`, () => {
    assert.throws(
      () => parse(query),
      (error) => error instanceof LogQueryError && error.status === status && error.message === text,
    );
  });
}

test("parseLogOptions() reads what clients of every age send", () => {
  const { tailLines, follow, previous, timestamps, stream } = parse("tail=5&follow&previous=yes&timestamps=FALSE");
  assert.deepEqual([tailLines, follow, previous, timestamps, stream], [5, true, true, false, "All"]);
  assert.equal(parse("tail=all&tailLines=3").tailLines, undefined);
  assert.equal(parse("tailLines=0&stream=All").tailLines, 0);
  assert.equal(parse("sinceSeconds=5").sinceMs, NOW - 5000);
  assert.equal(parse("stream=Stderr").stream, "Stderr");
});

test("LogFormatter writes all nine digits of a second, however few the runtime wrote", () => {
  const formatter = new LogFormatter(parse("timestamps=true"));
  const stamped = ["2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+01:00"].map((time) => {
    const line = parseLogLine(Buffer.from(`${time} stdout F a`));
    return line === undefined ? undefined : formatter.format(line)?.toString();
  });
  assert.deepEqual(stamped, [
    "2026-01-02T03:04:05.120000000Z a\n",
    "2026-01-02T03:04:05.000000000Z a\n",
    "2026-01-02T03:04:05.500000000+01:00 a\n",
  ]);
});
