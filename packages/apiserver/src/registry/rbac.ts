/**
 * RBAC objects: nobody grants what they don't hold.
 * Source: k8s.io/kubernetes/pkg/registry/rbac/{clusterrole,role,rolebinding,clusterrolebinding}/policybased
 */
import { deepEqual } from "@knarr/api/deep-equal.ts";
import type { ClusterRole, ClusterRoleBinding, PolicyRule } from "@knarr/api/generated/types/rbac-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { checkBinding, checkEscalation, type EscalationRequest } from "../authz/escalation.ts";
import type { RbacAuthorizer } from "../authz/rbac.ts";
import type { Authorizer, RuleResolver } from "../authz/types.ts";
import type { WriteScope } from "../verbs/write-scope.ts";
import type { ResourceHooks } from "./resource.ts";

export interface RbacChecks {
  readonly authorizer: Authorizer & RuleResolver;
  /** Undefined without the mode RBAC: then there is nothing to escalate. */
  readonly rbac: RbacAuthorizer | undefined;
}

const GROUP = "rbac.authorization.k8s.io";
const FULL_AUTHORITY: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/** `checks` is asked at each write: the authorizer is made after the resources. */
export function rbacHooks(ref: ResourceRef<unknown>, checks: () => RbacChecks): ResourceHooks | undefined {
  if (ref.group !== GROUP) return undefined;
  const resource = ref.resource as EscalationRequest["resource"];
  const isBinding = resource === "rolebindings" || resource === "clusterrolebindings";
  const check = async (object: KubeObject, scope: WriteScope) => {
    const { authorizer, rbac } = checks();
    if (rbac === undefined) return;
    const by = { authorizer, resolver: rbac };
    const { namespace = "", name = "" } = object.metadata;
    const request = { user: scope.user, resource, namespace, name };
    if (!isBinding) {
      const role = object as ClusterRole;
      // An aggregated role may come to hold anything.
      const wanted = role.aggregationRule === undefined ? (role.rules ?? []) : FULL_AUTHORITY;
      throwIf(await checkEscalation(request, wanted, by));
      return;
    }
    const { roleRef } = object as ClusterRoleBinding;
    throwIf(
      await checkBinding(
        request,
        roleRef,
        rbac.roleRules({ kind: roleRef.kind ?? "", name: roleRef.name ?? "" }, namespace),
        by,
      ),
    );
  };
  return {
    beginCreate: check,
    beginUpdate: async (object, old, scope) => {
      if (!isUnchanged(object, old, isBinding)) await check(object, scope);
    },
  };
}

function isUnchanged(object: KubeObject, old: KubeObject, isBinding: boolean): boolean {
  const fields = isBinding ? (["roleRef", "subjects"] as const) : (["rules", "aggregationRule"] as const);
  const [now, before] = [object as unknown as Record<string, unknown>, old as unknown as Record<string, unknown>];
  return fields.every((field) => deepEqual(now[field], before[field]));
}

function throwIf(error: Error | undefined): void {
  if (error !== undefined) throw error;
}
