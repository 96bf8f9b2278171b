// biome-ignore-all lint/suspicious/noExplicitAny: interim file, removed when packages/api has every kind
/**
 * Descriptors for kinds that have no file of their own yet: the default strategy over the generated field tables.
 * Goes away when packages/api has them all.
 */

import { defineKind, scaleSubresource, statusOf } from "@knarr/api/define-kind.ts";
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import * as resources from "@knarr/api/generated/resources.ts";
import { kindSchema } from "@knarr/api/schema.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { folderOf } from "../storage/key-layout.ts";

const SCALED = new Set(["deployments", "replicasets", "statefulsets", "replicationcontrollers"]);
const VIRTUAL = /reviews$|^bindings$|^componentstatuses$/;
const SHORT: Record<string, string[]> = {
  services: ["svc"],
  nodes: ["no"],
  endpoints: ["ep"],
  events: ["ev"],
  serviceaccounts: ["sa"],
  deployments: ["deploy"],
  replicasets: ["rs"],
  daemonsets: ["ds"],
  statefulsets: ["sts"],
  persistentvolumes: ["pv"],
  persistentvolumeclaims: ["pvc"],
  replicationcontrollers: ["rc"],
  resourcequotas: ["quota"],
  limitranges: ["limits"],
  horizontalpodautoscalers: ["hpa"],
  cronjobs: ["cj"],
  priorityclasses: ["pc"],
  ingresses: ["ing"],
  networkpolicies: ["netpol"],
  poddisruptionbudgets: ["pdb"],
  storageclasses: ["sc"],
  certificatesigningrequests: ["csr"],
};
const ALL = new Set([
  "services",
  "deployments",
  "replicasets",
  "daemonsets",
  "statefulsets",
  "replicationcontrollers",
  "jobs",
  "cronjobs",
  "horizontalpodautoscalers",
]);

export function withInterimKinds(known: readonly KindDescriptor[]): readonly KindDescriptor[] {
  const have = new Set(known.map(({ ref }) => `${ref.group}/${ref.version}/${ref.resource}`));
  const refs = Object.values(resources).flatMap((group) => Object.values(group)) as ResourceRef<KubeObject>[];
  const missing = refs.filter(
    (ref) =>
      !have.has(`${ref.group}/${ref.version}/${ref.resource}`) &&
      ref.group !== "apiextensions.k8s.io" &&
      ref.group !== "apiregistration.k8s.io" &&
      ref.group !== "events.k8s.io" &&
      !(ref.group === "autoscaling" && ref.version === "v1"),
  );
  return [...known, ...missing.map(interim)];
}

function interim(ref: ResourceRef<KubeObject>): KindDescriptor {
  const struct = kindSchema(ref.group, ref.version, ref.kind);
  const hasStatus = struct?.fields.has("status") === true;
  const scaled = SCALED.has(ref.resource);
  const subs = [
    ...(hasStatus ? [statusOf(ref.kind)] : []),
    ...(scaled ? [scaleSubresource] : []),
    ...(ref.resource === "serviceaccounts"
      ? [
          {
            name: "token",
            kind: "TokenRequest",
            group: "authentication.k8s.io",
            version: "v1",
            verbs: ["create"] as const,
          },
        ]
      : []),
    ...(ref.resource === "nodes"
      ? [{ name: "proxy", kind: "NodeProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] as const }]
      : []),
    ...(ref.resource === "services"
      ? [{ name: "proxy", kind: "ServiceProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] as const }]
      : []),
  ];
  const virtual = VIRTUAL.test(ref.resource);
  return defineKind({
    ref,
    prefix: virtual ? "" : `/registry/${folderOf(ref)}`,
    nameRule: () => [],
    subresources: subs,
    shortNames: SHORT[ref.resource] ?? [],
    categories: ALL.has(ref.resource) ? ["all"] : [],
    ...(ref.resource === "nodes"
      ? { selectable: { "spec.unschedulable": (o: any) => String(o.spec?.unschedulable ?? false) } }
      : {}),
    ...(ref.resource === "events"
      ? {
          selectable: {
            "involvedObject.name": (o: any) => o.involvedObject?.name ?? "",
            "involvedObject.namespace": (o: any) => o.involvedObject?.namespace ?? "",
            "involvedObject.kind": (o: any) => o.involvedObject?.kind ?? "",
            "involvedObject.uid": (o: any) => o.involvedObject?.uid ?? "",
          },
        }
      : {}),
    ...(virtual ? { verbs: ["create"] } : {}),
    ...(scaled
      ? {
          scale: {
            specReplicasPath: ".spec.replicas",
            statusReplicasPath: ".status.replicas",
            labelSelectorPath: ".spec.selector",
          },
        }
      : {}),
    expires: ref.resource === "events",
    default(object) {
      const o = object as any;
      if (ref.kind === "Service") {
        o.spec ??= {};
        o.spec.type ??= "ClusterIP";
        o.spec.sessionAffinity ??= "None";
        o.spec.internalTrafficPolicy ??= "Cluster";
        for (const p of o.spec.ports ?? []) {
          p.protocol ??= "TCP";
          p.targetPort ??= p.port;
          if (p.targetPort === 0 || p.targetPort === "") p.targetPort = p.port;
        }
      }
      if (["Deployment", "ReplicaSet", "StatefulSet"].includes(ref.kind)) o.spec.replicas ??= 1;
      if (ref.kind === "Deployment") {
        o.spec.strategy ??= {};
        o.spec.strategy.type ??= "RollingUpdate";
        if (o.spec.strategy.type === "RollingUpdate") {
          o.spec.strategy.rollingUpdate ??= {};
          o.spec.strategy.rollingUpdate.maxSurge ??= "25%";
          o.spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
        }
        o.spec.revisionHistoryLimit ??= 10;
        o.spec.progressDeadlineSeconds ??= 600;
      }
    },
  }) as unknown as KindDescriptor;
}
