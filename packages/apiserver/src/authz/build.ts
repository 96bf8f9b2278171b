/** Wires the authorizers of --authorization-mode to the storage's views. Call after every resource has been registered. */
import { core, rbac, resource, storage as storageGroup } from "@knarr/api/generated/resources.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { Storage } from "../storage/storage.ts";
import type { ObjectView } from "../storage/types.ts";
import { NodeAuthorizer } from "./node.ts";
import { attachmentOwner, NodeGraph, podEdges, sliceOwner, volumeEdges } from "./node-graph.ts";
import { RbacAuthorizer } from "./rbac.ts";
import type { Authorizer, RuleResolver } from "./types.ts";
import { alwaysAllow, alwaysDeny, UnionAuthorizer } from "./union.ts";

export interface BuiltAuthorizer {
  readonly authorizer: Authorizer & RuleResolver;
  /** For the escalate and bind checks; undefined without the mode RBAC. */
  readonly rbac: RbacAuthorizer | undefined;
}

/** `modes` in order: Node, RBAC, AlwaysAllow, AlwaysDeny. Throws an Error naming an unknown mode. */
export function buildAuthorizer(modes: readonly string[], storage: Storage): BuiltAuthorizer {
  let rbacAuthorizer: RbacAuthorizer | undefined;
  const members = modes.map((mode): Authorizer & RuleResolver => {
    switch (mode) {
      case "Node":
        return new NodeAuthorizer(nodeGraph(storage));
      case "RBAC":
        rbacAuthorizer = new RbacAuthorizer({
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
      default:
        throw new Error(`unknown authorization mode ${JSON.stringify(mode)}`);
    }
  });
  return { authorizer: new UnionAuthorizer(members), rbac: rbacAuthorizer };
}

function nodeGraph(storage: Storage): NodeGraph {
  return new NodeGraph({
    pods: storage.view(projected(core.pods), podEdges),
    volumes: storage.view(projected(core.persistentvolumes), volumeEdges),
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
  if (storage.has(ref)) return storage.view(ref, project);
  return { synced: true, get: () => undefined, list: () => [], subscribe: () => () => {} };
}
