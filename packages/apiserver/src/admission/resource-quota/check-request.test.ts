import assert from "node:assert/strict";
import { test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { ResourceQuota } from "@knarr/api/generated/types/core-v1.ts";
import { evaluatorFor } from "@knarr/api/quota/evaluators.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { AdmissionAttributes } from "../plugin.ts";
import { checkRequest, type LimitedResource } from "./check-request.ts";

type Amounts = Record<string, string>;
const quota = (name: string, hard: Amounts, used: Amounts, scopes: string[] = []): ResourceQuota => ({
  metadata: { name },
  spec: { hard, scopes },
  status: { hard, used },
});
const pod = (requests?: Amounts): KubeObject =>
  ({ metadata: { name: "p" }, spec: { containers: [{ name: "c", resources: { requests } }] } }) as KubeObject;
const service = (type: string): KubeObject =>
  ({ metadata: { name: "s" }, spec: { type, ports: [{ port: 1 }] } }) as KubeObject;

function check(
  quotas: readonly ResourceQuota[],
  ref: ResourceRef<unknown>,
  object: KubeObject,
  more: { oldObject?: KubeObject; limited?: LimitedResource[] } = {},
): readonly ResourceQuota[] {
  const { oldObject, limited = [] } = more;
  const attributes = {
    operation: oldObject === undefined ? "CREATE" : "UPDATE",
    ref,
    subresource: "",
    namespace: "ns",
    name: object.metadata.name ?? "",
    object,
    oldObject,
  } as AdmissionAttributes;
  return checkRequest(quotas, attributes, { evaluator: evaluatorFor(ref.group, ref.resource), limited, nowMs: 0 });
}
const usedBy = (quotas: readonly ResourceQuota[]) => quotas.map(({ status }) => status?.used);

test("checkRequest() charges every quota that is concerned, and no other", () => {
  const before = [
    quota("a", { pods: "2", "requests.cpu": "1" }, { pods: "1", "requests.cpu": "500m" }),
    quota("b", { services: "1" }, { services: "0" }),
    quota("c", { pods: "1" }, { pods: "0" }, ["Terminating"]),
  ];
  const after = check(before, core.pods, pod({ cpu: "500m" }));
  assert.deepEqual(usedBy(after), [{ pods: "2", "requests.cpu": "1" }, { services: "0" }, { pods: "0" }]);
  assert.equal(after[1], before[1]);
});

const refusals: { name: string; quotas: ResourceQuota[]; object: KubeObject; want: string }[] = [
  {
    name: "a limit would be exceeded",
    quotas: [quota("q", { pods: "5", cpu: "1" }, { pods: "1", cpu: "800m" })],
    object: pod({ cpu: "300m" }),
    want: "exceeded quota: q, requested: cpu=300m, used: cpu=800m, limited: cpu=1",
  },
  {
    name: "two limits would be exceeded",
    quotas: [quota("q", { pods: "1", cpu: "1" }, { pods: "1", cpu: "1" })],
    object: pod({ cpu: "1" }),
    want: "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=1,pods=1, limited: cpu=1,pods=1",
  },
  {
    name: "a container says nothing about cpu",
    quotas: [
      quota("q", { "requests.cpu": "1", "limits.memory": "1Gi" }, { "requests.cpu": "0", "limits.memory": "0" }),
    ],
    object: pod(),
    want: "failed quota: q: must specify limits.memory for: c; requests.cpu for: c",
  },
  {
    name: "nobody has counted yet",
    quotas: [quota("q", { pods: "1", "count/pods": "2" }, {})],
    object: pod(),
    want: "status unknown for quota: q, resources: count/pods,pods",
  },
];
for (const { name, quotas, object, want } of refusals) {
  test(`checkRequest() refuses when ${name}`, () =>
    assert.throws(() => check(quotas, core.pods, object), { message: `pods "p" is forbidden: ${want}` }));
}

test("checkRequest() charges an update for what it adds only", () => {
  const before = [
    quota("q", { services: "1", "services.nodeports": "1" }, { services: "1", "services.nodeports": "0" }),
  ];
  const grown = check(before, core.services, service("NodePort"), { oldObject: service("ClusterIP") });
  assert.deepEqual(usedBy(grown), [{ services: "1", "services.nodeports": "1" }]);
  assert.equal(check(before, core.services, service("ClusterIP"), { oldObject: service("NodePort") }), before);
});

test("checkRequest() refuses limited resources that no quota covers", () => {
  const limited = [{ apiGroup: "", resource: "pods", matchContains: ["requests.cpu"], matchScopes: [] }];
  const refused = { message: 'pods "p" is forbidden: insufficient quota to consume: requests.cpu' };
  assert.throws(() => check([], core.pods, pod({ cpu: "1" }), { limited }), refused);
  const covering = [quota("q", { "requests.cpu": "2" }, { "requests.cpu": "0" })];
  assert.deepEqual(usedBy(check(covering, core.pods, pod({ cpu: "1" }), { limited })), [{ "requests.cpu": "1" }]);
});

test("checkRequest() refuses limited scopes that no quota covers", () => {
  const scope = { scopeName: "PriorityClass", operator: "In", values: ["high"] };
  const limited = [{ apiGroup: "", resource: "pods", matchContains: [], matchScopes: [scope] }];
  const high = {
    metadata: { name: "p" },
    spec: { containers: [], priorityClassName: "high" },
  } as unknown as KubeObject;
  assert.throws(() => check([], core.pods, high, { limited }), {
    message: 'pods "p" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [high]}]',
  });
  assert.deepEqual(check([], core.pods, pod(), { limited }), []);
});
