/**
 * Specs of the objects of flow control that every cluster has and nobody may change, by name. Pure data.
 * Source: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap
 */
import type { FlowSchemaSpec, PriorityLevelConfigurationSpec, Subject } from "../../generated/types/flowcontrol-v1.ts";

const every = ["*"];
const groups = (...names: string[]): Subject[] => names.map((name) => ({ kind: "Group", group: { name } }));

function everything(subjects: Subject[]): NonNullable<FlowSchemaSpec["rules"]> {
  return [
    {
      subjects,
      resourceRules: [{ verbs: every, apiGroups: every, resources: every, clusterScope: true, namespaces: every }],
      nonResourceRules: [{ verbs: every, nonResourceURLs: every }],
    },
  ];
}

export const mandatorySchemaSpecs: Readonly<Record<string, FlowSchemaSpec>> = {
  exempt: {
    priorityLevelConfiguration: { name: "exempt" },
    matchingPrecedence: 1,
    rules: everything(groups("system:masters")),
  },
  "catch-all": {
    priorityLevelConfiguration: { name: "catch-all" },
    matchingPrecedence: 10_000,
    distinguisherMethod: { type: "ByUser" },
    rules: everything(groups("system:unauthenticated", "system:authenticated")),
  },
};

export const mandatoryLevelSpecs: Readonly<Record<string, PriorityLevelConfigurationSpec>> = {
  exempt: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  "catch-all": {
    type: "Limited",
    limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: "Reject" } },
  },
};
