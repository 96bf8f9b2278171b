import assert from "node:assert/strict";
import { test } from "node:test";
import { mandatorySchemas, suggestedSchemas } from "../bootstrap-objects.ts";
import { type FlowRequest, prepareSchemas } from "./match.ts";
import { estimateWork } from "./work-estimate.ts";

const schemas = prepareSchemas([...suggestedSchemas, ...mandatorySchemas]);
const ask = (request: Partial<FlowRequest> & { as: string; in: string[] }): FlowRequest => ({
  isResourceRequest: true,
  verb: "get",
  group: "",
  resource: "pods",
  subresource: "",
  namespace: "default",
  path: "",
  ...request,
  user: { name: request.as, groups: request.in },
});
const all = "system:authenticated";
const cases: readonly [name: string, request: FlowRequest, want: string][] = [
  ["administrators", ask({ as: "admin", in: ["system:masters", all] }), "exempt"],
  [
    "probes",
    ask({ as: "system:anonymous", in: ["system:unauthenticated"], isResourceRequest: false, path: "/livez" }),
    "probes",
  ],
  [
    "a node's heartbeat",
    ask({
      as: "system:node:n",
      in: ["system:nodes", all],
      verb: "update",
      group: "coordination.k8s.io",
      resource: "leases",
      namespace: "kube-node-lease",
    }),
    "system-node-high",
  ],
  [
    "a node's status",
    ask({
      as: "system:node:n",
      in: ["system:nodes", all],
      verb: "patch",
      resource: "nodes",
      subresource: "status",
      namespace: "",
    }),
    "system-node-high",
  ],
  ["a node's other requests", ask({ as: "system:node:n", in: ["system:nodes", all] }), "system-nodes"],
  [
    "the scheduler's lease",
    ask({ as: "system:kube-scheduler", in: [all], verb: "update", group: "coordination.k8s.io", resource: "leases" }),
    "system-leader-election",
  ],
  ["the scheduler", ask({ as: "system:kube-scheduler", in: [all] }), "kube-scheduler"],
  [
    "a system account",
    ask({
      as: "system:serviceaccount:kube-system:x",
      in: ["system:serviceaccounts", "system:serviceaccounts:kube-system", all],
    }),
    "kube-system-service-accounts",
  ],
  [
    "another account",
    ask({ as: "system:serviceaccount:a:x", in: ["system:serviceaccounts", "system:serviceaccounts:a", all] }),
    "service-accounts",
  ],
  ["a person", ask({ as: "jane", in: [all] }), "global-default"],
];
for (const [name, request, want] of cases) {
  test(`prepareSchemas() matches ${name} to ${want}`, () => {
    assert.equal(schemas.find((schema) => schema.matches(request))?.name, want);
  });
}

const list = { verb: "list", name: "", limit: 0, initialEvents: false, objects: 5_000, watchers: 0 };
const works: readonly [name: string, request: Parameters<typeof estimateWork>[0], want: number][] = [
  ["a large list ten", list, 10],
  ["a list of 250 objects three", { ...list, objects: 250 }, 3],
  ["a page of 100 two", { ...list, limit: 100 }, 2],
  ["a list of one name one", { ...list, name: "x" }, 1],
  ["a list that nobody can count one", { ...list, objects: undefined }, 1],
  ["a streaming list ten", { ...list, verb: "watch", initialEvents: true }, 10],
  ["a watch one", { ...list, verb: "watch" }, 1],
  ["a get one", { ...list, verb: "get" }, 1],
];
for (const [name, request, want] of works) {
  test(`estimateWork() gives ${name} seat(s)`, () => assert.equal(estimateWork(request).seats, want));
}
test("estimateWork() adds the watchers' share to a write", () => {
  assert.deepEqual(estimateWork({ ...list, verb: "update", watchers: 200 }), { seats: 1, finalSeats: 10, extraMs: 10 });
  assert.equal(estimateWork({ ...list, verb: "update", watchers: 9 }).finalSeats, 0);
});
