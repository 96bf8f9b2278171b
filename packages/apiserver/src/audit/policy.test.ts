import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AuditAttributes, evaluatePolicy, parseAuditPolicy } from "./policy.ts";

const policy = (rules: string) =>
  parseAuditPolicy(`apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n${rules}`);
const request = (over: Partial<AuditAttributes> = {}): AuditAttributes => ({
  user: "jane",
  groups: ["system:authenticated"],
  verb: "get",
  isResourceRequest: true,
  group: "",
  resource: "pods",
  subresource: "",
  namespace: "default",
  name: "web",
  path: "/api/v1/namespaces/default/pods/web",
  ...over,
});
const path = (text: string) => request({ isResourceRequest: false, path: text, resource: "", namespace: "", name: "" });

describe("evaluatePolicy()", () => {
  const cases: readonly [name: string, rules: string, request: AuditAttributes, want: string][] = [
    ["the first rule that fits", "- {level: None, users: [jane]}\n- {level: Metadata}", request(), "None"],
    ["nothing when no rule fits", "- {level: Request, users: [joe]}", request(), "None"],
    ["a group of the user", "- {level: Request, userGroups: ['system:authenticated']}", request(), "Request"],
    ["a verb", "- {level: Request, verbs: [list]}\n- {level: Metadata}", request(), "Metadata"],
    ["a resource", "- {level: Request, resources: [{resources: [pods]}]}", request(), "Request"],
    [
      "not the resource's subresource",
      "- {level: Request, resources: [{resources: [pods]}]}",
      request({ subresource: "log" }),
      "None",
    ],
    [
      "a subresource",
      "- {level: Request, resources: [{resources: [pods/log]}]}",
      request({ subresource: "log" }),
      "Request",
    ],
    [
      "a subresource of anything",
      "- {level: Request, resources: [{resources: ['*/log']}]}",
      request({ subresource: "log" }),
      "Request",
    ],
    [
      "all subresources",
      "- {level: Request, resources: [{resources: ['pods/*']}]}",
      request({ subresource: "log" }),
      "Request",
    ],
    ["a whole group", "- {level: Request, resources: [{group: apps}]}", request({ group: "apps" }), "Request"],
    ["not another group", "- {level: Request, resources: [{group: apps}]}", request(), "None"],
    ["a name", "- {level: Request, resources: [{resources: [pods], resourceNames: [web]}]}", request(), "Request"],
    ["a namespace", "- {level: Request, namespaces: [kube-system]}", request(), "None"],
    ["a path", "- {level: Request, nonResourceURLs: ['/healthz*']}", path("/healthz/etcd"), "Request"],
    ["no resource by a path", "- {level: Request, nonResourceURLs: ['*']}", request(), "None"],
    ["no path by a resource", "- {level: Request, resources: [{group: ''}]}", path("/version"), "None"],
  ];
  for (const [name, rules, of, want] of cases) {
    test(`evaluatePolicy() takes ${name}`, () => assert.equal(evaluatePolicy(policy(rules), of).level, want));
  }
  test("evaluatePolicy() joins the stages that the policy and the rule omit", () => {
    const verdict = evaluatePolicy(policy("- {level: Metadata, omitStages: [Panic]}"), request());
    assert.deepEqual(verdict.omitStages, ["RequestReceived", "Panic"]);
  });
});

describe("parseAuditPolicy()", () => {
  const wrong: readonly [name: string, text: string, want: RegExp][] = [
    ["another kind", "kind: Pod", /must be a Policy/],
    ["no rules", "apiVersion: audit.k8s.io/v1\nkind: Policy", /rules: Required/],
    [
      "an unknown level",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]",
      /rules\[0\].level: Unsupported/,
    ],
    [
      "an unknown field",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, user: [a]}]",
      /unknown field "user"/,
    ],
    [
      "paths with resources",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]",
      /cannot apply to both/,
    ],
    [
      "a star inside a path",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, nonResourceURLs: ['/a*b']}]",
      /may end with/,
    ],
  ];
  for (const [name, text, want] of wrong) {
    test(`parseAuditPolicy() refuses ${name}`, () => assert.throws(() => parseAuditPolicy(text), want));
  }
});
