/**
 * Who changes an object's owners must be allowed to delete it (a false owner would have it collected), and who lets it
 * block an owner's deletion must be allowed to change that owner's finalizers.
 * Source: k8s.io/kubernetes/plugin/pkg/admission/gc
 */
import { deepEqual } from "@knarr/api/deep-equal.ts";
import type { ObjectMeta, OwnerReference } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { ResourceAttributes } from "../authz/types.ts";
import {
  type AdmissionAttributes,
  type AdmissionEnvironment,
  type AdmissionPlugin,
  admissionForbidden,
} from "./plugin.ts";

/** The resource of a kind; undefined when it is not served. */
export type FindKind = (apiVersion: string, kind: string) => ResourceRef<unknown> | undefined;

export function createOwnerReferencesPermissionEnforcement(findKind: FindKind): AdmissionPlugin {
  return {
    name: "OwnerReferencesPermissionEnforcement",
    async validate(attributes, env) {
      const { operation, subresource, object, oldObject } = attributes;
      if ((operation !== "CREATE" && operation !== "UPDATE") || subresource !== "" || object === undefined) return;
      const owners = (metadata: ObjectMeta | undefined) => metadata?.ownerReferences ?? [];
      const [now, before] = [owners(object.metadata), owners(oldObject?.metadata)];
      if (deepEqual(now, before)) return;
      // Whoever makes an object may give it owners; taking them over needs the right to delete it.
      if (operation === "UPDATE" && !(await may(attributes, env, { verb: "delete", name: attributes.name }))) {
        throw admissionForbidden(attributes, "cannot set an ownerRef on a resource you can't delete: ");
      }
      for (const owner of newlyBlocking(now, before)) await requireFinalizers(attributes, env, owner, findKind);
    },
  };
}

function newlyBlocking(now: readonly OwnerReference[], before: readonly OwnerReference[]): OwnerReference[] {
  const blocked = new Set(before.filter((ref) => ref.blockOwnerDeletion === true).map((ref) => ref.uid));
  return now.filter((ref) => ref.blockOwnerDeletion === true && !blocked.has(ref.uid));
}

async function requireFinalizers(
  attributes: AdmissionAttributes,
  env: AdmissionEnvironment,
  owner: OwnerReference,
  findKind: FindKind,
): Promise<void> {
  const ref = findKind(owner.apiVersion, owner.kind);
  const closing = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
  if (ref === undefined) {
    throw admissionForbidden(
      attributes,
      `cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion ${owner.apiVersion} Kind ${owner.kind}`,
    );
  }
  const asked = {
    verb: "update",
    apiGroup: ref.group,
    apiVersion: ref.version,
    resource: ref.resource,
    subresource: "finalizers",
    namespace: ref.namespaced ? attributes.namespace : "",
    name: owner.name,
  };
  if (!(await may(attributes, env, asked))) throw admissionForbidden(attributes, `${closing}: `);
}

async function may(
  { user, ref, namespace }: AdmissionAttributes,
  env: AdmissionEnvironment,
  asked: Partial<ResourceAttributes> & { readonly verb: string; readonly name: string },
): Promise<boolean> {
  const { group: apiGroup, version: apiVersion, resource } = ref;
  const about = { apiGroup, apiVersion, resource, subresource: "", namespace };
  return (await env.authorizer.authorize({ kind: "resource", user, ...about, ...asked })).verdict === "allowed";
}
