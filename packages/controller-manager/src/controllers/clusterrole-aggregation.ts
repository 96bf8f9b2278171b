/**
 * ClusterRoles whose rules are those of other ClusterRoles. Inputs: ClusterRoles. Writes: ClusterRoles' rules.
 */
import { rbac } from "@knarr/api/generated/resources.ts";
import type { ClusterRole } from "@knarr/api/generated/types/rbac-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { aggregateRules } from "../core/aggregate-rules.ts";
import { sameJson } from "../core/canonical-json.ts";

const WORKERS = 5;

export const clusterroleAggregationController: Controller = {
  name: "clusterrole-aggregation-controller",
  aliases: ["clusterrole-aggregation"],
  start: async (context) => startAggregation(context),
};

function startAggregation(context: ControllerContext): (signal: AbortSignal) => Promise<void> {
  const { client, name: fieldManager } = context;
  const queue = makeQueue(context);
  const roles = context.informers.informer(rbac.clusterroles);
  // Any role may be part of any aggregate; there are few aggregates, and one that stays the same costs no request.
  const enqueueAll = () => {
    for (const role of roles.list()) if (role.aggregationRule !== undefined) queue.add(role.metadata.name ?? "");
  };
  roles.subscribe({ added: enqueueAll, updated: enqueueAll, deleted: enqueueAll });

  const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
    const key = { namespace: "", name };
    const role = roles.get(key);
    if (role?.aggregationRule === undefined) return done;
    const rules = aggregateRules(role, roles.list());
    if (sameJson(rules, role.rules ?? [])) return done;
    const body: ClusterRole = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name, uid: role.metadata.uid },
      rules: [...rules],
    };
    try {
      await client.patch(rbac.clusterroles, key, { type: "apply", body }, { fieldManager, force: true, signal });
    } catch (error) {
      // Deleted meanwhile; the uid keeps the patch from making it anew.
      if (!isNotFound(error)) throw error;
    }
    return done;
  };
  return (signal) => runLoop(context, { queue, workers: WORKERS, needs: needs(roles), reconcile }, signal);
}
