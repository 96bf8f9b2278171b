import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuthorizerSettings, AuthorizerType } from "./authorization-configuration.ts";
import { ChangingAuthorizer } from "./changing-authorizer.ts";
import type { AuthorizerAttributes } from "./types.ts";

const attributes = {} as AuthorizerAttributes;
const of = (...types: AuthorizerType[]): AuthorizerSettings[] => types.map((type) => ({ type }));

/** Allows where the last of its settings does. */
function changing(first: readonly AuthorizerSettings[]): { authorizer: ChangingAuthorizer; file: { now: unknown } } {
  const file: { now: unknown } = { now: first };
  const authorizer = new ChangingAuthorizer({
    settings: first,
    build: (settings) => ({
      authorize: () => ({
        verdict: settings.at(-1)?.type === "AlwaysAllow" ? "allowed" : "no-opinion",
        reason: settings.map(({ type }) => type).join(),
      }),
      rulesFor: () => ({ rules: [], incomplete: false, errors: [] }),
    }),
    read: async () => {
      if (file.now instanceof Error) throw file.now;
      return file.now as AuthorizerSettings[];
    },
  });
  return { authorizer, file };
}

test("ChangingAuthorizer.reload() takes up a changed file, and says whether it changed", async () => {
  const { authorizer, file } = changing(of("RBAC", "AlwaysDeny"));
  assert.equal(await authorizer.reload(), false);
  file.now = of("RBAC", "AlwaysAllow");
  assert.equal(await authorizer.reload(), true);
  assert.deepEqual(authorizer.authorize(attributes), { verdict: "allowed", reason: "RBAC,AlwaysAllow" });
  assert.equal(await authorizer.reload(), false);
});

const WRONG: readonly { name: string; now: unknown; why: RegExp }[] = [
  { name: "cannot be read", now: new Error("yaml: line 3"), why: /yaml: line 3/ },
  { name: "drops RBAC", now: of("AlwaysAllow"), why: /RBAC cannot be removed/ },
  { name: "adds Node", now: of("Node", "RBAC"), why: /Node cannot be added/ },
];
for (const { name, now, why } of WRONG) {
  test(`ChangingAuthorizer.reload() keeps the old authorizers when the file ${name}`, async () => {
    const { authorizer, file } = changing(of("RBAC"));
    file.now = now;
    await assert.rejects(authorizer.reload(), why);
    assert.deepEqual(authorizer.authorize(attributes), { verdict: "no-opinion", reason: "RBAC" });
  });
}
