/** Wires the authorizers of --authorization-mode to the storage's views. Call after every resource has been registered. */
import { core, rbac, resource, storage as storageGroup } from "@knarr/api/generated/resources.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { ObjectView } from "../storage/types.ts";
import { connectWebhook } from "../webhook-client.ts";
import type { AuthorizerSettings } from "./authorization-configuration.ts";
import { ChangingAuthorizer } from "./changing-authorizer.ts";
import { NodeAuthorizer } from "./node.ts";
import { attachmentOwner, NodeGraph, podEdges, sliceOwner, unscheduled, volumeEdges } from "./node-graph.ts";
import { RbacAuthorizer } from "./rbac.ts";
import type { Authorizer, RuleResolver } from "./types.ts";
import { alwaysAllow, alwaysDeny, UnionAuthorizer } from "./union.ts";
import { WebhookAuthorizer } from "./webhook.ts";

export interface AuthorizerTools {
  readonly storage: Storage;
  readonly clock: Clock;
  /** The settings as they are now. */
  readonly read: () => Promise<readonly AuthorizerSettings[]>;
}

export interface BuiltAuthorizer {
  readonly authorizer: ChangingAuthorizer;
  /** For the escalate and bind checks; undefined without the mode RBAC. */
  readonly rbac: RbacAuthorizer | undefined;
}

/**
 * The authorizers in their order; `read` gives their settings anew. Throws an Error naming a webhook's kubeconfig that can't
 * be read.
 */
export function buildAuthorizer(
  settings: readonly AuthorizerSettings[],
  { storage, clock, read }: AuthorizerTools,
): BuiltAuthorizer {
  let rbacAuthorizer: RbacAuthorizer | undefined;
  let nodeAuthorizer: NodeAuthorizer | undefined;
  const memberOf = ({ type, webhook }: AuthorizerSettings): Authorizer & RuleResolver => {
    switch (type) {
      case "Node":
        nodeAuthorizer ??= new NodeAuthorizer(nodeGraph(storage));
        return nodeAuthorizer;
      case "RBAC":
        rbacAuthorizer ??= new RbacAuthorizer({
          roles: storage.view(rbac.roles),
          roleBindings: storage.view(rbac.rolebindings),
          clusterRoles: storage.view(rbac.clusterroles),
          clusterRoleBindings: storage.view(rbac.clusterrolebindings),
        });
        return rbacAuthorizer;
      case "AlwaysAllow":
        return alwaysAllow;
      case "AlwaysDeny":
        return alwaysDeny;
      case "Webhook": {
        if (webhook === undefined) throw new Error("an authorization webhook without settings");
        const { kubeconfig, timeoutMs, ...options } = webhook;
        return new WebhookAuthorizer({ ...options, clock, webhook: connectWebhook(kubeconfig, { clock, timeoutMs }) });
      }
      default:
        throw new Error(`unknown authorizer ${JSON.stringify(type satisfies never)}`);
    }
  };
  const build = (next: readonly AuthorizerSettings[]) => new UnionAuthorizer(next.map(memberOf));
  const authorizer = new ChangingAuthorizer({ settings, build, read });
  return { authorizer, rbac: rbacAuthorizer };
}

function nodeGraph(storage: Storage): NodeGraph {
  return new NodeGraph({
    pods: storage.view(projected(core.pods), { project: podEdges, atAGlance: unscheduled }),
    volumes: storage.view(projected(core.persistentvolumes), { project: volumeEdges }),
    attachments: optional(storage, projected(storageGroup.volumeattachments), attachmentOwner),
    slices: optional(storage, projected(resource.resourceslices), sliceOwner),
  });
}

/** The same resource, seen as what is kept of its objects. */
function projected<T>(ref: ResourceRef<unknown>): ResourceRef<T> {
  return ref as ResourceRef<T>;
}

/** An empty view for a resource that this server does not serve. */
function optional<T extends object>(
  storage: Storage,
  ref: ResourceRef<T>,
  project: (object: unknown) => T,
): ObjectView<T> {
  if (storage.has(ref)) return storage.view(ref, { project });
  return { synced: true, get: () => undefined, list: () => [], subscribe: () => () => {} };
}
