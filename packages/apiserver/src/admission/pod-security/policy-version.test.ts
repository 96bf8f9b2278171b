import assert from "node:assert/strict";
import { test } from "node:test";
import { type Policy, policyOf } from "./policy-version.ts";

const level = (name: "privileged" | "baseline" | "restricted") => ({ level: name, version: "latest" }) as const;
const OPEN: Policy = { enforce: level("privileged"), audit: level("privileged"), warn: level("privileged") };
const STRICT: Policy = { enforce: level("restricted"), audit: level("restricted"), warn: level("restricted") };
const enforce = (text: string) => ({ "pod-security.kubernetes.io/enforce": text });

test("policyOf() is what the server's defaults say when the namespace says nothing", () => {
  assert.deepEqual(policyOf(undefined, STRICT), { policy: STRICT, errors: [] });
  assert.deepEqual(policyOf({}, OPEN).policy, OPEN);
});

test("policyOf() remembers frozen labels by the defaults that they were read with, and no others", () => {
  const frozen = Object.freeze(enforce("baseline"));
  assert.equal(policyOf(frozen, OPEN).policy, policyOf(frozen, OPEN).policy);
  assert.equal(policyOf(frozen, OPEN).policy.audit.level, "privileged");
  assert.equal(policyOf(frozen, STRICT).policy.audit.level, "restricted");
  const changing = enforce("baseline");
  assert.equal(policyOf(changing, OPEN).policy.enforce.level, "baseline");
  changing["pod-security.kubernetes.io/enforce"] = "restricted";
  assert.equal(policyOf(changing, OPEN).policy.enforce.level, "restricted");
});
