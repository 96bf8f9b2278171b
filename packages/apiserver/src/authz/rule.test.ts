import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import { CompiledRule, pathMatches } from "./rule.ts";
import type { AuthorizerAttributes } from "./types.ts";

const user = { name: "u", uid: "", groups: [], extra: {} };
const ask = (
  verb: string,
  resource: string,
  rest: { group?: string; subresource?: string; name?: string } = {},
): AuthorizerAttributes => ({
  kind: "resource",
  user,
  verb,
  apiGroup: rest.group ?? "",
  apiVersion: "v1",
  resource,
  subresource: rest.subresource ?? "",
  namespace: "default",
  name: rest.name ?? "",
});
const get = (path: string): AuthorizerAttributes => ({ kind: "nonResource", user, verb: "get", path });
const pods: PolicyRule = { verbs: ["get", "list"], apiGroups: [""], resources: ["pods"] };

const rows: readonly { name: string; rule: PolicyRule; ask: AuthorizerAttributes; want: boolean }[] = [
  { name: "verb and resource match", rule: pods, ask: ask("get", "pods"), want: true },
  { name: "the verb differs", rule: pods, ask: ask("delete", "pods"), want: false },
  { name: "the group differs", rule: pods, ask: ask("get", "pods", { group: "apps" }), want: false },
  { name: "a subresource is asked for", rule: pods, ask: ask("get", "pods", { subresource: "log" }), want: false },
  {
    name: "the subresource is listed",
    rule: { ...pods, resources: ["pods/log"] },
    ask: ask("get", "pods", { subresource: "log" }),
    want: true,
  },
  {
    name: "only the subresource is listed",
    rule: { ...pods, resources: ["pods/log"] },
    ask: ask("get", "pods"),
    want: false,
  },
  {
    name: "*/scale covers any scale",
    rule: { verbs: ["get"], apiGroups: ["*"], resources: ["*/scale"] },
    ask: ask("get", "deployments", { group: "apps", subresource: "scale" }),
    want: true,
  },
  {
    name: "*/scale does not cover the resource",
    rule: { verbs: ["get"], apiGroups: ["*"], resources: ["*/scale"] },
    ask: ask("get", "deployments", { group: "apps" }),
    want: false,
  },
  {
    name: "* covers subresources",
    rule: { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
    ask: ask("create", "pods", { subresource: "exec" }),
    want: true,
  },
  {
    name: "the name is listed",
    rule: { ...pods, resourceNames: ["a"] },
    ask: ask("get", "pods", { name: "a" }),
    want: true,
  },
  {
    name: "the name is not listed",
    rule: { ...pods, resourceNames: ["a"] },
    ask: ask("get", "pods", { name: "b" }),
    want: false,
  },
  { name: "a list has no name", rule: { ...pods, resourceNames: ["a"] }, ask: ask("list", "pods"), want: false },
  {
    name: "an empty group list covers no group",
    rule: { verbs: ["get"], resources: ["pods"] },
    ask: ask("get", "pods"),
    want: false,
  },
  {
    name: "the path matches",
    rule: { verbs: ["get"], nonResourceURLs: ["/healthz"] },
    ask: get("/healthz"),
    want: true,
  },
  { name: "a resource rule meets a path", rule: pods, ask: get("/healthz"), want: false },
  {
    name: "a path rule meets a resource",
    rule: { verbs: ["*"], nonResourceURLs: ["*"] },
    ask: ask("get", "pods"),
    want: false,
  },
];

for (const row of rows) {
  test(`CompiledRule.allows() is ${row.want} when ${row.name}`, () => {
    assert.equal(new CompiledRule(row.rule).allows(row.ask), row.want);
  });
}

test("pathMatches() takes a trailing star as a prefix", () => {
  assert.deepEqual(
    [
      pathMatches("/api/*", "/api/v1"),
      pathMatches("/api/*", "/api"),
      pathMatches("/a*b", "/axb"),
      pathMatches("*", "/x"),
    ],
    [true, false, false, true],
  );
});
