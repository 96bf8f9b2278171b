/**
 * Where each resource's objects lie in etcd, as upstream lays them out, so that either server can open the other's data.
 * Source: k8s.io/kubernetes/pkg/kubeapiserver/default_storage_factory_builder.go and the registries' own prefixes.
 */
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";

export const DEFAULT_ROOT = "/registry";

/** Resources whose folder is not their name. */
const SPECIAL_FOLDERS: Readonly<Record<string, string>> = {
  "/nodes": "minions",
  "/replicationcontrollers": "controllers",
  "/services": "services/specs",
  "/endpoints": "services/endpoints",
  "networking.k8s.io/ingresses": "ingress",
  "apiextensions.k8s.io/customresourcedefinitions": "apiextensions.k8s.io/customresourcedefinitions",
  "apiregistration.k8s.io/apiservices": "apiregistration.k8s.io/apiservices",
  "events.k8s.io/events": "events",
};

/** The folder below the root: "pods", "minions", "services/specs". */
export function folderOf(ref: ResourceRef<unknown>): string {
  return SPECIAL_FOLDERS[`${ref.group}/${ref.resource}`] ?? ref.resource;
}
