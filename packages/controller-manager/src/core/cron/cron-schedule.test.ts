import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseCron } from "./cron-schedule.ts";
import { wallMs } from "./zone-clock.ts";

const ms = (text: string) => Date.parse(text);
const iso = (value: number | undefined) =>
  value === undefined ? undefined : new Date(value).toISOString().slice(0, 16);

const rows: { schedule: string; zone?: string; from: string; want: string | undefined; why?: string }[] = [
  { schedule: "* * * * *", from: "2026-01-01T00:00:00Z", want: "2026-01-01T00:01" },
  { schedule: "* * * * *", from: "2026-01-01T00:00:59.999Z", want: "2026-01-01T00:01" },
  { schedule: "*/15 * * * *", from: "2026-01-01T00:46:00Z", want: "2026-01-01T01:00" },
  { schedule: "20-35/15 * * * *", from: "2026-01-01T00:21:00Z", want: "2026-01-01T00:35" },
  { schedule: "5/20 8 * * *", from: "2026-01-01T08:26:00Z", want: "2026-01-01T08:45" },
  { schedule: "0 0 31 * *", from: "2026-02-01T00:00:00Z", want: "2026-03-31T00:00" },
  { schedule: "0 0 29 feb ?", from: "2026-01-01T00:00:00Z", want: "2028-02-29T00:00" },
  { schedule: "0 0 30 2 *", from: "2026-01-01T00:00:00Z", want: undefined },
  { schedule: "0 0 13 * fri", from: "2026-01-01T00:00:00Z", want: "2026-01-02T00:00", why: "either day field" },
  { schedule: "0 0 */2 * fri", from: "2026-01-02T00:00:00Z", want: "2026-01-03T00:00", why: "a step is no star" },
  { schedule: "0 0 */1 * fri", from: "2026-01-02T00:00:00Z", want: "2026-01-09T00:00" },
  { schedule: "@weekly", from: "2026-01-01T00:00:00Z", want: "2026-01-04T00:00" },
  { schedule: "@yearly", from: "2026-01-01T00:00:00Z", want: "2027-01-01T00:00" },
  { schedule: "@monthly", from: "2026-01-31T00:00:00Z", want: "2026-02-01T00:00" },
  { schedule: "@every 90m", from: "2026-01-01T00:00:00.5Z", want: "2026-01-01T01:30" },
  { schedule: "0 9 * * *", zone: "Asia/Kolkata", from: "2026-01-01T00:00:00Z", want: "2026-01-01T03:30" },
  { schedule: "TZ=America/New_York 0 9 * * *", from: "2026-01-01T00:00:00Z", want: "2026-01-01T14:00" },
  {
    schedule: "30 2 * * *",
    zone: "Europe/Berlin",
    from: "2026-03-29T00:00:00Z",
    want: "2026-03-30T00:30",
    why: "02:30 is skipped on the 29th",
  },
  { schedule: "0 3 * * *", zone: "Europe/Berlin", from: "2026-03-29T00:00:00Z", want: "2026-03-29T01:00" },
  { schedule: "0 * * * *", zone: "Europe/Berlin", from: "2026-03-29T00:00:00Z", want: "2026-03-29T01:00" },
  { schedule: "30 2 * * *", zone: "Europe/Berlin", from: "2026-10-24T22:00:00Z", want: "2026-10-25T00:30" },
  {
    schedule: "30 2 * * *",
    zone: "Europe/Berlin",
    from: "2026-10-25T00:30:00Z",
    want: "2026-10-25T01:30",
    why: "02:30 comes twice",
  },
  { schedule: "30 2 * * *", zone: "Europe/Berlin", from: "2026-10-25T01:30:00Z", want: "2026-10-26T01:30" },
  { schedule: "30 1 4 nov *", zone: "America/New_York", from: "2012-11-04T05:45:00Z", want: "2012-11-04T06:30" },
  {
    schedule: "0 0 * * *",
    zone: "America/Sao_Paulo",
    from: "2018-11-03T12:00:00Z",
    want: "2018-11-05T02:00",
    why: "midnight is skipped on 4 November 2018",
  },
  { schedule: "0 1 * * *", zone: "America/Sao_Paulo", from: "2018-11-03T12:00:00Z", want: "2018-11-04T03:00" },
  { schedule: "15 2 * * *", zone: "Australia/Lord_Howe", from: "2026-10-03T12:00:00Z", want: "2026-10-04T15:15" },
];
for (const { schedule, zone = "UTC", from, want, why } of rows) {
  test(`parseCron() finds what follows ${from} on ${schedule} in ${zone}${why === undefined ? "" : `: ${why}`}`, () => {
    assert.equal(iso(parseCron(schedule, zone).next(ms(from))), want);
  });
}

const bad: { schedule: string; says: RegExp }[] = [
  { schedule: "", says: /expected exactly 5 fields, found 0/ },
  { schedule: "* * * *", says: /expected exactly 5 fields, found 4/ },
  { schedule: "60 * * * *", says: /end of range \(60\) above maximum \(59\)/ },
  { schedule: "* * 0 * *", says: /beginning of range \(0\) below minimum \(1\)/ },
  { schedule: "5-1 * * * *", says: /beyond end of range/ },
  { schedule: "*/0 * * * *", says: /step of range should be a positive number/ },
  { schedule: "1/2/3 * * * *", says: /too many slashes/ },
  { schedule: "1-2-3 * * * *", says: /too many hyphens/ },
  { schedule: "x * * * *", says: /failed to parse int from x/ },
  { schedule: "@fortnightly", says: /unrecognized descriptor/ },
  { schedule: "@every soon", says: /failed to parse duration/ },
  { schedule: "TZ=Nowhere * * * * *", says: /bad location/ },
];
for (const { schedule, says } of bad) {
  test(`parseCron() refuses ${JSON.stringify(schedule)}`, () => {
    assert.throws(() => parseCron(schedule, "UTC"), says);
  });
}

test("parseCron() finds the next minute whose wall clock fits, in every zone and at every change of clocks (property)", () => {
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu");
  const start = fc.integer({ min: ms("2025-01-01"), max: ms("2027-01-01") });
  fc.assert(
    fc.property(zone, start, fc.nat(59), fc.nat(23), (name, from, minute, hour) => {
      const got = parseCron(`${minute} ${hour} * * *`, name).next(from);
      assert.ok(got !== undefined && got > from);
      const fits = (t: number) => {
        const wall = new Date(wallMs(name, t));
        return wall.getUTCMinutes() === minute && wall.getUTCHours() === hour;
      };
      assert.ok(fits(got));
      for (let t = Math.floor(from / 60_000) * 60_000 + 60_000; t < got; t += 60_000) assert.ok(!fits(t));
    }),
    { numRuns: 30 },
  );
});
