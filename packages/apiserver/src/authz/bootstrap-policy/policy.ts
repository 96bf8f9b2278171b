/**
 * The whole bootstrap policy as API objects, ready to be reconciled. Pure.
 * Every object carries the label kubernetes.io/bootstrapping=rbac-defaults and asks to be kept up to date.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "@knarr/api/generated/types/rbac-v1.ts";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import { clusterRolePolicies, type RolePolicy } from "./cluster-roles.ts";
import { controllerPolicies } from "./controller-roles.ts";
import { namespaceRolePolicies } from "./namespace-roles.ts";

export const AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate";
const API_GROUP = "rbac.authorization.k8s.io";
const API_VERSION = `${API_GROUP}/v1`;

export interface BootstrapPolicy {
  readonly clusterRoles: readonly ClusterRole[];
  readonly clusterRoleBindings: readonly ClusterRoleBinding[];
  readonly roles: readonly Role[];
  readonly roleBindings: readonly RoleBinding[];
}

interface Subjects {
  readonly users?: readonly string[];
  readonly groups?: readonly string[];
  /** Names in kube-system. */
  readonly serviceAccounts?: readonly string[];
}

/** Who holds the roles of people and components. system:node is bound to nobody: the Node authorizer serves nodes. */
const clusterBindings: Readonly<Record<string, Subjects>> = {
  "cluster-admin": { groups: ["system:masters"] },
  "system:monitoring": { groups: ["system:monitoring"] },
  "system:discovery": { groups: ["system:authenticated"] },
  "system:basic-user": { groups: ["system:authenticated"] },
  "system:public-info-viewer": { groups: ["system:authenticated", "system:unauthenticated"] },
  "system:node-proxier": { users: ["system:kube-proxy"] },
  "system:kube-controller-manager": { users: ["system:kube-controller-manager"] },
  "system:kube-dns": { serviceAccounts: ["kube-dns"] },
  "system:kube-scheduler": { users: ["system:kube-scheduler"] },
  "system:volume-scheduler": { users: ["system:kube-scheduler"] },
  "system:node": {},
  "system:service-account-issuer-discovery": { groups: ["system:serviceaccounts"] },
};

export function bootstrapPolicy(): BootstrapPolicy {
  const controllers = Object.entries(controllerPolicies);
  return {
    clusterRoles: [
      ...clusterRolePolicies.map(clusterRole),
      ...controllers.map(([name, rules]) => clusterRole({ name: `system:controller:${name}`, rules })),
    ],
    clusterRoleBindings: [
      ...Object.entries(clusterBindings).map(([name, subjects]) => clusterRoleBinding(name, subjects)),
      ...controllers.map(([name]) => clusterRoleBinding(`system:controller:${name}`, { serviceAccounts: [name] })),
    ],
    roles: namespaceRolePolicies.map(({ namespace, name, rules }) => ({
      kind: "Role",
      apiVersion: API_VERSION,
      metadata: metadataOf(name, namespace),
      rules: [...rules],
    })),
    roleBindings: namespaceRolePolicies.map(({ namespace, name, binding }) => ({
      kind: "RoleBinding",
      apiVersion: API_VERSION,
      metadata: metadataOf(binding.name ?? name, namespace),
      subjects: subjectsOf(binding),
      roleRef: { apiGroup: API_GROUP, kind: "Role", name },
    })),
  };
}

function clusterRole(policy: RolePolicy): ClusterRole {
  const { name, rules, aggregateTo, aggregates } = policy;
  const metadata = metadataOf(name);
  if (aggregateTo !== undefined) metadata.labels = { ...metadata.labels, [aggregationLabel(aggregateTo)]: "true" };
  return {
    kind: "ClusterRole",
    apiVersion: API_VERSION,
    metadata,
    rules: [...rules],
    ...(aggregates === undefined
      ? {}
      : { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregationLabel(aggregates)]: "true" } }] } }),
  };
}

function clusterRoleBinding(name: string, subjects: Subjects): ClusterRoleBinding {
  const roleRef: RoleRef = { apiGroup: API_GROUP, kind: "ClusterRole", name };
  const made = subjectsOf(subjects);
  return {
    kind: "ClusterRoleBinding",
    apiVersion: API_VERSION,
    metadata: metadataOf(name),
    ...(made.length === 0 ? {} : { subjects: made }),
    roleRef,
  };
}

function subjectsOf({ users = [], groups = [], serviceAccounts = [] }: Subjects): Subject[] {
  return [
    ...users.map((name) => ({ kind: "User", apiGroup: API_GROUP, name })),
    ...groups.map((name) => ({ kind: "Group", apiGroup: API_GROUP, name })),
    ...serviceAccounts.map((name) => ({ kind: "ServiceAccount", name, namespace: "kube-system" })),
  ];
}

function metadataOf(name: string, namespace?: string): ObjectMeta {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults" },
    annotations: { [AUTOUPDATE]: "true" },
  };
}

function aggregationLabel(role: string): string {
  return `rbac.authorization.k8s.io/aggregate-to-${role}`;
}
