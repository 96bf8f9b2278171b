import assert from "node:assert/strict";
import { test } from "node:test";
import { reviewAccess, reviewLocalAccess, reviewOwnAccess, reviewOwnRules } from "./access-review.ts";
import { forbiddenError } from "./forbidden.ts";
import type { Authorizer, AuthorizerAttributes, RuleResolver } from "./types.ts";
import { alwaysDeny, UnionAuthorizer } from "./union.ts";

const bob = { name: "bob", uid: "", groups: ["devs"], extra: {} };

function recorder(verdict: "allowed" | "denied" | "no-opinion") {
  const asked: AuthorizerAttributes[] = [];
  const authorizer: Authorizer & RuleResolver = {
    authorize: (attributes) => {
      asked.push(attributes);
      return { verdict, reason: `because ${verdict}` };
    },
    rulesFor: () => ({
      rules: [
        { verbs: ["get"], apiGroups: [""], resources: ["pods"] },
        { verbs: ["get"], nonResourceURLs: ["/healthz"] },
      ],
      incomplete: true,
      errors: ["x", "y"],
    }),
  };
  return { asked, authorizer };
}

test("reviewAccess() asks for the spec's user and attributes", async () => {
  const { asked, authorizer } = recorder("allowed");
  const review = await reviewAccess(authorizer, {
    metadata: {},
    spec: {
      user: "u",
      groups: ["g"],
      resourceAttributes: { verb: "get", resource: "pods", namespace: "n", subresource: "log" },
    },
  });
  assert.deepEqual(review.status, { allowed: true, reason: "because allowed" });
  assert.deepEqual(asked[0], {
    kind: "resource",
    user: { name: "u", uid: "", groups: ["g"], extra: {} },
    verb: "get",
    apiGroup: "",
    apiVersion: "*",
    resource: "pods",
    subresource: "log",
    namespace: "n",
    name: "",
  });
});

test("reviewAccess() says denied only for a denial", async () => {
  const spec = { user: "u", nonResourceAttributes: { verb: "get", path: "/" } };
  assert.deepEqual((await reviewAccess(recorder("denied").authorizer, { metadata: {}, spec })).status, {
    allowed: false,
    denied: true,
    reason: "because denied",
  });
  assert.deepEqual((await reviewAccess(recorder("no-opinion").authorizer, { metadata: {}, spec })).status, {
    allowed: false,
    reason: "because no-opinion",
  });
});

test("reviewAccess() refuses a spec without target and subject, naming both", async () => {
  await assert.rejects(reviewAccess(recorder("allowed").authorizer, { metadata: {}, spec: {} }), {
    code: 422,
    message:
      'SubjectAccessReview.authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of ' +
      'nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]',
  });
});

test("reviewLocalAccess() refuses another namespace", async () => {
  const spec = { user: "u", resourceAttributes: { verb: "get", resource: "pods", namespace: "other" } };
  await assert.rejects(
    reviewLocalAccess(recorder("allowed").authorizer, { metadata: { namespace: "ns" }, spec }, "ns"),
    {
      code: 422,
    },
  );
});

test("reviewOwnAccess() asks for the requester", async () => {
  const { asked, authorizer } = recorder("no-opinion");
  await reviewOwnAccess(
    authorizer,
    { metadata: {}, spec: { nonResourceAttributes: { verb: "get", path: "/metrics" } } },
    bob,
  );
  assert.deepEqual(asked[0], { kind: "nonResource", user: bob, verb: "get", path: "/metrics" });
});

test("reviewOwnRules() parts resource rules from paths", () => {
  const { status } = reviewOwnRules(recorder("allowed").authorizer, { metadata: {}, spec: { namespace: "ns" } }, bob);
  assert.deepEqual(status, {
    resourceRules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }],
    nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz"] }],
    incomplete: true,
    evaluationError: "[x, y]",
  });
  assert.throws(() => reviewOwnRules(recorder("allowed").authorizer, { metadata: {}, spec: {} }, bob), {
    code: 400,
    message: "no namespace on request",
  });
});

test("UnionAuthorizer takes the first opinion, joins reasons, and asks nobody about system:masters", async () => {
  const ask: AuthorizerAttributes = { kind: "nonResource", user: bob, verb: "get", path: "/x" };
  const [silent, denying, allowing] = [recorder("no-opinion"), recorder("denied"), recorder("allowed")];
  const members = [silent.authorizer, denying.authorizer, allowing.authorizer];
  assert.equal((await new UnionAuthorizer(members).authorize(ask)).verdict, "denied");
  assert.equal(allowing.asked.length, 0);
  assert.deepEqual(new UnionAuthorizer([silent.authorizer, alwaysDeny]).authorize(ask), {
    verdict: "no-opinion",
    reason: "because no-opinion\nEverything is forbidden.",
  });
  const root = { ...bob, groups: ["system:masters"] };
  assert.equal((await new UnionAuthorizer([alwaysDeny]).authorize({ ...ask, user: root })).verdict, "allowed");
  const late = { ...silent.authorizer, authorize: async () => ({ verdict: "no-opinion", reason: "later" }) as const };
  assert.deepEqual(await new UnionAuthorizer([late, silent.authorizer, alwaysDeny]).authorize(ask), {
    verdict: "no-opinion",
    reason: "later\nbecause no-opinion\nEverything is forbidden.",
  });
  assert.equal((await new UnionAuthorizer([late, denying.authorizer, late]).authorize(ask)).verdict, "denied");
});

const refusals: readonly { ask: AuthorizerAttributes; reason: string; want: string }[] = [
  {
    ask: { kind: "nonResource", user: bob, verb: "get", path: "/metrics" },
    reason: "",
    want: 'forbidden: User "bob" cannot get path "/metrics"',
  },
  {
    ask: {
      kind: "resource",
      user: { ...bob, name: "<b>" },
      verb: "create",
      apiGroup: "apps",
      apiVersion: "v1",
      resource: "deployments",
      subresource: "scale",
      namespace: "ns",
      name: "web",
    },
    reason: "no",
    want:
      'deployments.apps "web" is forbidden: User "&lt;b&gt;" cannot create resource "deployments/scale" in API group "apps" ' +
      'in the namespace "ns": no',
  },
  {
    ask: {
      kind: "resource",
      user: bob,
      verb: "list",
      apiGroup: "",
      apiVersion: "v1",
      resource: "nodes",
      subresource: "",
      namespace: "",
      name: "",
    },
    reason: "",
    want: 'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope',
  },
];
for (const { ask, reason, want } of refusals) {
  test(`forbiddenError() says ${want}`, () => {
    const error = forbiddenError(ask, reason);
    assert.equal(error.message, want);
    assert.equal(error.code, 403);
  });
}

const reviewed = (resourceAttributes: object, metadata: object = {}) => ({
  metadata,
  spec: { user: "u", resourceAttributes: { verb: "list", resource: "pods", ...resourceAttributes } },
});

test("reviewAccess() hands on selectors, given as text or as requirements", async () => {
  const want = {
    fieldSelector: [{ key: "spec.nodeName", operator: "=", values: ["n1"] }],
    labelSelector: [{ key: "a", operator: "In", values: ["b"] }],
  };
  const { asked, authorizer } = recorder("allowed");
  await reviewAccess(
    authorizer,
    reviewed({
      fieldSelector: { requirements: [{ key: "spec.nodeName", operator: "In", values: ["n1"] }] },
      labelSelector: { requirements: [{ key: "a", operator: "In", values: ["b"] }] },
    }),
  );
  await reviewAccess(
    authorizer,
    reviewed({
      version: "",
      fieldSelector: { rawSelector: "spec.nodeName=n1" },
      labelSelector: { rawSelector: "a in (b)" },
    }),
  );
  for (const [i, operator] of ["In", "in"].entries()) {
    const { fieldSelector, labelSelector, apiVersion } = asked[i] as Extract<
      AuthorizerAttributes,
      { kind: "resource" }
    >;
    const labels = want.labelSelector.map((one) => ({ ...one, operator }));
    assert.deepEqual({ fieldSelector, labelSelector, apiVersion }, { ...want, labelSelector: labels, apiVersion: "*" });
  }
});

test("reviewAccess() says which selectors it could not read, and asks without them", async () => {
  const { asked, authorizer } = recorder("no-opinion");
  const { status } = await reviewAccess(
    authorizer,
    reviewed({
      fieldSelector: {
        requirements: [
          { key: "a", operator: "In", values: ["b"] },
          { key: "c", operator: "Exists" },
        ],
      },
      labelSelector: { rawSelector: "((" },
    }),
  );
  assert.equal(
    status?.evaluationError,
    "spec.resourceAttributes.fieldSelector partially ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to parse error",
  );
  const [question] = asked;
  assert.ok(question?.kind === "resource");
  assert.deepEqual(question.fieldSelector, [{ key: "a", operator: "=", values: ["b"] }]);
  assert.equal(question.labelSelector, undefined);
});

test("reviewAccess() refuses selectors that say nothing or two things, bad requirements, and metadata", async () => {
  const errorsOf = async (resourceAttributes: object, metadata?: object) => {
    const refused = await reviewAccess(recorder("allowed").authorizer, reviewed(resourceAttributes, metadata)).catch(
      (error: { status: { details: { causes: { field: string; message: string }[] } } }) => error,
    );
    return "spec" in refused ? [] : refused.status.details.causes.map(({ field, message }) => `${field}: ${message}`);
  };
  const at = "spec.resourceAttributes";
  assert.deepEqual(
    await errorsOf({
      fieldSelector: {},
      labelSelector: { rawSelector: "a", requirements: [{ key: "a", operator: "Exists" }] },
    }),
    [
      `${at}.fieldSelector.requirements: Required value: when ${at}.fieldSelector is specified, requirements or rawSelector is required`,
      `${at}.labelSelector.rawSelector: Invalid value: "a": may not specified at the same time as requirements`,
    ],
  );
  const requirements = [
    { key: "", operator: "In" },
    { key: "k", operator: "Exists", values: ["v"] },
    { key: "k", operator: "New" },
  ];
  assert.deepEqual(await errorsOf({ fieldSelector: { requirements } }), [
    `${at}.fieldSelector.requirements[0].key: Required value: must be specified`,
    `${at}.fieldSelector.requirements[0].values: Required value: must be specified when \`operator\` is 'In' or 'NotIn'`,
    `${at}.fieldSelector.requirements[1].values: Forbidden: may not be specified when \`operator\` is 'Exists' or 'DoesNotExist'`,
  ]);
  assert.deepEqual(await errorsOf({}, { name: "x", managedFields: [] }), [
    'metadata: Invalid value: {"name":"x"}: must be empty',
  ]);
  assert.deepEqual(await errorsOf({}, { managedFields: [] }), []);
});

test("reviewLocalAccess() takes the namespace of the request for its own", async () => {
  const { authorizer } = recorder("allowed");
  const review = await reviewLocalAccess(authorizer, reviewed({ namespace: "ns" }), "ns");
  assert.deepEqual([review.metadata.namespace, review.status?.allowed], ["ns", true]);
  await assert.rejects(reviewLocalAccess(authorizer, reviewed({ namespace: "ns" }, { namespace: "other" }), "ns"), {
    code: 400,
    message: "the namespace of the provided object does not match the namespace sent on the request",
  });
});

test("a review with both targets names the path's", async () => {
  const spec = { nonResourceAttributes: { path: "/x", verb: "get" }, resourceAttributes: { verb: "get" } };
  await assert.rejects(reviewOwnAccess(recorder("allowed").authorizer, { metadata: {}, spec }, bob), {
    message:
      'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: spec.nonResourceAttributes: Invalid value: ' +
      '{"path":"/x","verb":"get"}: cannot be specified in combination with resourceAttributes',
  });
});
