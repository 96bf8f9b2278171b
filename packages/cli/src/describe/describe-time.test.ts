import assert from "node:assert/strict";
import test from "node:test";
import { describeTime } from "./describe-time.ts";

test("describeTime() writes a time the RFC 1123 way, as the same instant", () => {
  const text = describeTime("2026-11-21T09:04:01Z") ?? "";
  assert.match(text, /^(Fri|Sat|Sun), 2[012] Nov 2026 \d\d:\d\d:01 [+-]\d{4}$/);
  assert.equal(Date.parse(text), Date.parse("2026-11-21T09:04:01Z"));
});

test("describeTime() leaves out what is absent and keeps what it can't read", () => {
  assert.equal(describeTime(undefined), undefined);
  assert.equal(describeTime("soon"), "soon");
});
