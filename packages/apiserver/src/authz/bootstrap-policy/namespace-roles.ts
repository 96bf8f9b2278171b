/**
 * Roles and RoleBindings that every cluster starts with, in kube-system and kube-public.
 * Source: k8s.io/kubernetes bootstrappolicy namespace policy.
 */
import type { PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import { eventsRule, READ, rule } from "./policy-rule.ts";

export interface NamespacedRolePolicy {
  readonly namespace: "kube-system" | "kube-public";
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly binding: {
    /** Default: the role's own name. */
    readonly name?: string;
    readonly users?: readonly string[];
    /** ServiceAccounts of kube-system. */
    readonly serviceAccounts?: readonly string[];
  };
}

function leaderLocking(component: string): NamespacedRolePolicy {
  return {
    namespace: "kube-system",
    name: `system::leader-locking-${component}`,
    rules: [rule("watch", "core", "configmaps"), rule("get update", "core", "configmaps", component)],
    binding: { users: [`system:${component}`], serviceAccounts: [component] },
  };
}

export const namespaceRolePolicies: readonly NamespacedRolePolicy[] = [
  {
    namespace: "kube-system",
    name: "extension-apiserver-authentication-reader",
    rules: [rule(READ, "core", "configmaps", "extension-apiserver-authentication")],
    binding: {
      name: "system::extension-apiserver-authentication-reader",
      users: ["system:kube-controller-manager", "system:kube-scheduler"],
    },
  },
  {
    namespace: "kube-system",
    name: "system:controller:bootstrap-signer",
    rules: [rule(READ, "core", "secrets")],
    binding: { serviceAccounts: ["bootstrap-signer"] },
  },
  {
    namespace: "kube-system",
    name: "system:controller:cloud-provider",
    rules: [rule(`create ${READ}`, "core", "configmaps")],
    binding: { serviceAccounts: ["cloud-provider"] },
  },
  {
    namespace: "kube-system",
    name: "system:controller:token-cleaner",
    rules: [rule(`${READ} delete`, "core", "secrets"), eventsRule()],
    binding: { serviceAccounts: ["token-cleaner"] },
  },
  leaderLocking("kube-controller-manager"),
  leaderLocking("kube-scheduler"),
  {
    namespace: "kube-public",
    name: "system:controller:bootstrap-signer",
    rules: [rule(READ, "core", "configmaps"), rule("update", "core", "configmaps", "cluster-info"), eventsRule()],
    binding: { serviceAccounts: ["bootstrap-signer"] },
  },
];
