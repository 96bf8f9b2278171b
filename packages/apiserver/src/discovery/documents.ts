/**
 * The discovery documents, legacy and aggregated. Pure.
 * Source: docs reference/using-api/api-concepts#discovery-api
 */
import { createHash } from "node:crypto";
import type { KindDescriptor, Subresource } from "@knarr/api/descriptor.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { ServedGroup, ServedVersion } from "./groups.ts";

export function apiVersions(serverAddress: string): object {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

export function apiGroup(group: ServedGroup, nested: boolean): object {
  const versions = group.versions.map(({ version }) => ({ groupVersion: `${group.group}/${version}`, version }));
  return {
    ...(nested ? {} : { kind: "APIGroup", apiVersion: "v1" }),
    name: group.group,
    versions,
    preferredVersion: versions[0],
  };
}

export function apiGroupList(groups: readonly ServedGroup[]): object {
  const named = groups.filter(({ group }) => group !== "");
  return { kind: "APIGroupList", apiVersion: "v1", groups: named.map((group) => apiGroup(group, true)) };
}

export function apiResourceList(served: ServedVersion): object {
  return {
    kind: "APIResourceList",
    ...(served.group === "" ? {} : { apiVersion: "v1" }),
    groupVersion: apiVersionOf(served),
    resources: served.descriptors.flatMap((descriptor) => [
      legacyResource(descriptor),
      ...descriptor.subresources.map((subresource) => legacySubresource(descriptor, subresource)),
    ]),
  };
}

function legacyResource(descriptor: KindDescriptor): object {
  const { ref, singular, verbs, shortNames, categories, storage } = descriptor;
  return {
    name: ref.resource,
    singularName: singular,
    namespaced: ref.namespaced,
    kind: ref.kind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(storage === undefined ? {} : { storageVersionHash: storageVersionHash(descriptor) }),
  };
}

function legacySubresource(descriptor: KindDescriptor, subresource: Subresource): object {
  const { ref } = descriptor;
  return {
    name: `${ref.resource}/${subresource.name}`,
    singularName: "",
    namespaced: ref.namespaced,
    ...(subresource.group === undefined ? {} : { group: subresource.group }),
    ...(subresource.version === undefined ? {} : { version: subresource.version }),
    kind: subresource.kind,
    verbs: subresource.verbs,
  };
}

/** Source: k8s.io/apiserver/pkg/endpoints/discovery/storageversionhash.go */
function storageVersionHash(descriptor: KindDescriptor): string {
  const { storage } = descriptor;
  const [group, version] =
    storage?.apiVersion.includes("/") === true ? storage.apiVersion.split("/") : ["", storage?.apiVersion];
  return createHash("sha256").update(`${group}/${version}/${storage?.kind}`).digest().subarray(0, 8).toString("base64");
}

export function aggregated(groups: readonly ServedGroup[], apiVersion: string): object {
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion,
    metadata: {},
    items: groups.map(({ group, versions }) => ({
      metadata: group === "" ? {} : { name: group },
      versions: versions.map((served) => ({
        version: served.version,
        resources: served.descriptors.map(aggregatedResource),
        freshness: "Current",
      })),
    })),
  };
}

function aggregatedResource(descriptor: KindDescriptor): object {
  const { ref, singular, verbs, shortNames, categories, subresources } = descriptor;
  return {
    resource: ref.resource,
    responseKind: { group: ref.group, version: ref.version, kind: ref.kind },
    scope: ref.namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map((one) => ({
            subresource: one.name,
            responseKind: { group: one.group ?? ref.group, version: one.version ?? ref.version, kind: one.kind },
            verbs: one.verbs,
          })),
        }),
  };
}
