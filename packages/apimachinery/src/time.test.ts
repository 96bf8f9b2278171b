import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DurationError, formatDuration, parseDuration, parseDurationMs } from "./duration.ts";
import { canonicalTime, microTime, parseInstant, parseRfc3339, rfc3339Seconds, TimeError } from "./time.ts";

test("rfc3339Seconds() and microTime() write UTC", () => {
  assert.equal(rfc3339Seconds(1_767_225_600_999), "2026-01-01T00:00:00Z");
  assert.equal(rfc3339Seconds(-1), "1969-12-31T23:59:59Z");
  assert.equal(microTime(1_767_225_600_123), "2026-01-01T00:00:00.123000Z");
  assert.equal(microTime(1_767_225_600_123.456), "2026-01-01T00:00:00.123456Z");
  assert.equal(microTime(999.9996), "1970-01-01T00:00:01.000000Z");
});

test("parseRfc3339() reads any zone, any fraction and the year 1", () => {
  assert.equal(parseRfc3339("2026-01-01T02:00:00+02:00"), 1_767_225_600_000);
  assert.equal(parseRfc3339("2026-01-01T00:00:00.5Z"), 1_767_225_600_500);
  assert.equal(new Date(parseRfc3339("0001-01-01T00:00:00Z") ?? 0).getUTCFullYear(), 1);
  assert.deepEqual(["2026-02-30T00:00:00Z", "today", "2026-01-01"].map(parseRfc3339), [
    undefined,
    undefined,
    undefined,
  ]);
});

const canonical: [text: string, layout: "seconds" | "micros", want: string | null][] = [
  ["2026-01-01T02:30:00+02:00", "seconds", "2026-01-01T00:30:00Z"],
  ["2026-01-01T00:00:00.999999999Z", "seconds", "2026-01-01T00:00:00Z"],
  ["2026-01-01T1:02:03Z", "seconds", "2026-01-01T01:02:03Z"],
  ["2026-01-01T00:00:00.123456Z", "micros", "2026-01-01T00:00:00.123456Z"],
  ["0001-01-01T00:00:00.000001Z", "micros", "0001-01-01T00:00:00.000001Z"],
  ["0001-01-01T00:00:00Z", "seconds", null],
  ["0001-01-01T00:00:00.000000Z", "micros", null],
  ["2024-02-29T23:59:59-23:00", "seconds", "2024-03-01T22:59:59Z"],
];
for (const [text, layout, want] of canonical) {
  test(`canonicalTime() is ${want} when given ${text} in ${layout}`, () =>
    assert.equal(canonicalTime(text, layout), want));
}

const brokenTimes: [text: string, layout: "seconds" | "micros", want: string][] = [
  ["today", "seconds", 'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"'],
  ["", "seconds", 'parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'],
  ["2026-01-01", "seconds", 'parsing time "2026-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'],
  ["2026-13-01T00:00:00Z", "seconds", 'parsing time "2026-13-01T00:00:00Z": month out of range'],
  ["2026-02-30T00:00:00Z", "seconds", 'parsing time "2026-02-30T00:00:00Z": day out of range'],
  ["2026-01-01T24:00:00Z", "seconds", 'parsing time "2026-01-01T24:00:00Z": hour out of range'],
  ["2026-01-01T00:00:60Z", "seconds", 'parsing time "2026-01-01T00:00:60Z": second out of range'],
  [
    "2026-01-01T00:00:00",
    "seconds",
    'parsing time "2026-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"',
  ],
  ["2026-01-01T00:00:00Z!", "seconds", 'parsing time "2026-01-01T00:00:00Z!": extra text: "!"'],
  [
    "2026-01-01T00:00:00Z",
    "micros",
    'parsing time "2026-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"',
  ],
  ["9999-12-31T23:59:59-01:00", "seconds", "Time.MarshalJSON: year outside of range [0,9999]"],
];
for (const [text, layout, want] of brokenTimes) {
  test(`canonicalTime() throws Go's words when given ${JSON.stringify(text)} in ${layout}`, () => {
    assert.throws(
      () => canonicalTime(text, layout),
      (error) => error instanceof TimeError && error.message === want,
    );
  });
}

test("microTime() and parseInstant() are inverse to the microsecond for our century", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_102_444_800 }), fc.integer({ min: 0, max: 999_999 }), (seconds, micros) => {
      const text = microTime(seconds * 1000 + micros / 1000);
      assert.deepEqual(parseInstant(text, "micros"), { epochSeconds: seconds, nanos: micros * 1000 });
      assert.equal(canonicalTime(text, "micros"), text);
    }),
    { verbose: 1 },
  );
});

// Source: Go time.ParseDuration, Duration.String
const durations: [text: string, nanos: bigint, shown: string][] = [
  ["0", 0n, "0s"],
  ["0s", 0n, "0s"],
  ["5s", 5_000_000_000n, "5s"],
  ["1h", 3_600_000_000_000n, "1h0m0s"],
  ["1m30s", 90_000_000_000n, "1m30s"],
  ["90s", 90_000_000_000n, "1m30s"],
  ["1.5h", 5_400_000_000_000n, "1h30m0s"],
  ["100ms", 100_000_000n, "100ms"],
  ["1.5s", 1_500_000_000n, "1.5s"],
  [".5s", 500_000_000n, "500ms"],
  ["-2m", -120_000_000_000n, "-2m0s"],
  ["+10us", 10_000n, "10\u00b5s"],
  ["1\u00b5s", 1_000n, "1\u00b5s"],
  ["1\u03bcs1ns", 1_001n, "1.001\u00b5s"],
  ["7ns", 7n, "7ns"],
  ["2562047h47m16.854775807s", 2n ** 63n - 1n, "2562047h47m16.854775807s"],
  ["-2562047h47m16.854775808s", -(2n ** 63n), "-2562047h47m16.854775808s"],
];
for (const [text, nanos, shown] of durations) {
  test(`parseDuration() and formatDuration() agree with Go when given ${text}`, () => {
    assert.equal(parseDuration(text), nanos);
    assert.equal(formatDuration(nanos), shown);
  });
}
const brokenDurations: [text: string, want: string][] = [
  ["", 'time: invalid duration ""'],
  ["3", 'time: missing unit in duration "3"'],
  ["x", 'time: invalid duration "x"'],
  ["3d", 'time: unknown unit "d" in duration "3d"'],
  ["-", 'time: invalid duration "-"'],
  [".s", 'time: invalid duration ".s"'],
  ["1s 2s", 'time: unknown unit "s " in duration "1s 2s"'],
  ["2562048h", 'time: invalid duration "2562048h"'],
];
for (const [text, want] of brokenDurations) {
  test(`parseDuration() throws Go's words when given ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseDuration(text),
      (error) => error instanceof DurationError && error.message === want,
    );
  });
}
test("parseDurationMs() keeps fractions", () => assert.equal(parseDurationMs("1.5ms"), 1.5));
test("parseDuration() reads back what formatDuration() wrote", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (nanos) => {
      assert.equal(parseDuration(formatDuration(nanos)), nanos);
    }),
    { verbose: 1 },
  );
});

test("canonicalTime() makes of every second of four centuries what Date makes of it", () => {
  const epochMs = fc
    .integer({ min: Date.UTC(1800, 0, 1) / 1000, max: Date.UTC(2200, 0, 1) / 1000 })
    .map((s) => s * 1000);
  fc.assert(
    fc.property(epochMs, (ms) => {
      assert.equal(canonicalTime(`${new Date(ms).toISOString().slice(0, -5)}Z`, "seconds"), rfc3339Seconds(ms));
    }),
  );
});
