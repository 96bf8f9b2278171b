/**
 * The FlowSchemas and PriorityLevelConfigurations that every cluster has: the mandatory ones, which cannot be changed, and the
 * suggested ones, which administrators may take over. Pure data.
 * Source: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap
 */
import type {
  FlowSchema,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
  Subject,
} from "@knarr/api/generated/types/flowcontrol-v1.ts";
import { mandatoryLevelSpecs, mandatorySchemaSpecs } from "@knarr/api/kinds/flowcontrol/mandatory.ts";

const API_VERSION = "flowcontrol.apiserver.k8s.io/v1";
const EVERY = ["*"];

function level(name: string, spec: NonNullable<PriorityLevelConfiguration["spec"]>): PriorityLevelConfiguration {
  return { apiVersion: API_VERSION, kind: "PriorityLevelConfiguration", metadata: { name }, spec };
}

function queued(
  name: string,
  shares: number,
  lendablePercent: number,
  [queues, handSize]: readonly [number, number],
): PriorityLevelConfiguration {
  return level(name, {
    type: "Limited",
    limited: {
      nominalConcurrencyShares: shares,
      lendablePercent,
      limitResponse: { type: "Queue", queuing: { queues, handSize, queueLengthLimit: 50 } },
    },
  });
}

export const mandatoryLevels: readonly PriorityLevelConfiguration[] = Object.entries(mandatoryLevelSpecs).map(
  ([name, spec]) => level(name, spec),
);

export const suggestedLevels: readonly PriorityLevelConfiguration[] = [
  queued("system", 30, 33, [64, 6]),
  queued("node-high", 40, 25, [64, 6]),
  queued("leader-election", 10, 0, [16, 4]),
  queued("workload-high", 40, 50, [128, 6]),
  queued("workload-low", 100, 90, [128, 6]),
  queued("global-default", 20, 50, [128, 6]),
];

const users = (...names: string[]): Subject[] => names.map((name) => ({ kind: "User", user: { name } }));
const groups = (...names: string[]): Subject[] => names.map((name) => ({ kind: "Group", group: { name } }));
const systemAccounts = (...names: string[]): Subject[] =>
  names.map((name) => ({ kind: "ServiceAccount", serviceAccount: { namespace: "kube-system", name } }));

function resources(verbs: string[], apiGroups: string[], names: string[], clusterScope: boolean): ResourcePolicyRule {
  return { verbs, apiGroups, resources: names, ...(clusterScope ? { clusterScope } : {}), namespaces: EVERY };
}

function everything(subjects: Subject[]): PolicyRulesWithSubjects {
  return {
    subjects,
    resourceRules: [resources(EVERY, EVERY, EVERY, true)],
    nonResourceRules: [{ verbs: EVERY, nonResourceURLs: EVERY }],
  };
}

function schema(
  name: string,
  to: { readonly level: string; readonly precedence: number; readonly by?: "ByUser" | "ByNamespace" },
  rule: PolicyRulesWithSubjects,
): FlowSchema {
  return {
    apiVersion: API_VERSION,
    kind: "FlowSchema",
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: to.level },
      matchingPrecedence: to.precedence,
      ...(to.by === undefined ? {} : { distinguisherMethod: { type: to.by } }),
      rules: [rule],
    },
  };
}

const leases = resources(["get", "create", "update"], ["coordination.k8s.io"], ["leases"], false);
const everyone = groups("system:unauthenticated", "system:authenticated");

export const mandatorySchemas: readonly FlowSchema[] = Object.entries(mandatorySchemaSpecs).map(([name, spec]) => ({
  apiVersion: API_VERSION,
  kind: "FlowSchema",
  metadata: { name },
  spec,
}));

export const suggestedSchemas: readonly FlowSchema[] = [
  schema("system-nodes", { level: "system", precedence: 500, by: "ByUser" }, everything(groups("system:nodes"))),
  schema(
    "system-node-high",
    { level: "node-high", precedence: 400, by: "ByUser" },
    {
      subjects: groups("system:nodes"),
      resourceRules: [
        resources(EVERY, [""], ["nodes", "nodes/status"], true),
        resources(EVERY, ["coordination.k8s.io"], ["leases"], false),
      ],
    },
  ),
  schema(
    "probes",
    { level: "exempt", precedence: 2 },
    {
      subjects: everyone,
      nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }],
    },
  ),
  schema(
    "system-leader-election",
    { level: "leader-election", precedence: 100, by: "ByUser" },
    {
      subjects: [...users("system:kube-controller-manager", "system:kube-scheduler"), ...systemAccounts("*")],
      resourceRules: [leases],
    },
  ),
  schema(
    "workload-leader-election",
    { level: "leader-election", precedence: 200, by: "ByUser" },
    { subjects: systemAccounts("*"), resourceRules: [leases] },
  ),
  schema(
    "endpoint-controller",
    { level: "workload-high", precedence: 150, by: "ByUser" },
    {
      subjects: [
        ...users("system:kube-controller-manager"),
        ...systemAccounts("endpoint-controller", "endpointslicemirroring-controller"),
      ],
      resourceRules: [resources(["get", "create", "update"], [""], ["endpoints"], false)],
    },
  ),
  schema(
    "kube-controller-manager",
    { level: "workload-high", precedence: 800, by: "ByNamespace" },
    everything(users("system:kube-controller-manager")),
  ),
  schema(
    "kube-scheduler",
    { level: "workload-high", precedence: 800, by: "ByNamespace" },
    everything(users("system:kube-scheduler")),
  ),
  schema(
    "kube-system-service-accounts",
    { level: "workload-high", precedence: 900, by: "ByNamespace" },
    everything(systemAccounts("*")),
  ),
  schema(
    "service-accounts",
    { level: "workload-low", precedence: 9_000, by: "ByUser" },
    everything(groups("system:serviceaccounts")),
  ),
  schema("global-default", { level: "global-default", precedence: 9_900, by: "ByUser" }, everything(everyone)),
];
