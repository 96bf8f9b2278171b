/** Which kinds have a description of their own; every other kind gets the generic one. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";
import {
  describeConfigMap,
  describeLimitRange,
  describeNamespace,
  describeResourceQuota,
  describeSecret,
  describeServiceAccount,
} from "./config.ts";
import { Description } from "./description.ts";
import { eventsOf, renderEvents } from "./events.ts";
import { describeGeneric } from "./generic.ts";
import {
  describeEndpointSlice,
  describeEndpoints,
  describeIngress,
  describeIngressClass,
  describeNetworkPolicy,
  describeService,
} from "./network.ts";
import { describeNode } from "./node.ts";
import { describePod } from "./pod.ts";
import {
  describeAutoscaler,
  describeCertificateRequest,
  describePodDisruptionBudget,
  describePriorityClass,
  describeRole,
  describeRoleBinding,
} from "./policy.ts";
import { describePersistentVolume, describePersistentVolumeClaim, describeStorageClass } from "./storage.ts";
import {
  describeCronJob,
  describeDaemonSet,
  describeDeployment,
  describeJob,
  describeReplicaSet,
  describeReplicationController,
  describeStatefulSet,
} from "./workloads.ts";

export interface DescribeContext {
  readonly client: Client;
  readonly signal: AbortSignal;
  readonly nowMs: number;
}
type Describer = (out: Description, object: never, context: DescribeContext) => void | Promise<void>;

/** By `KIND.group`. Each gets objects of its kind only. */
const describers: Readonly<Record<string, Describer>> = {
  "Pod.": describePod,
  "Service.": describeService,
  "Node.": describeNode,
  "ConfigMap.": describeConfigMap,
  "Secret.": describeSecret,
  "ServiceAccount.": describeServiceAccount,
  "Namespace.": describeNamespace,
  "LimitRange.": describeLimitRange,
  "ResourceQuota.": describeResourceQuota,
  "Endpoints.": describeEndpoints,
  "ReplicationController.": describeReplicationController,
  "PersistentVolume.": describePersistentVolume,
  "PersistentVolumeClaim.": describePersistentVolumeClaim,
  "Deployment.apps": describeDeployment,
  "ReplicaSet.apps": describeReplicaSet,
  "StatefulSet.apps": describeStatefulSet,
  "DaemonSet.apps": describeDaemonSet,
  "Job.batch": describeJob,
  "CronJob.batch": describeCronJob,
  "HorizontalPodAutoscaler.autoscaling": describeAutoscaler,
  "PodDisruptionBudget.policy": describePodDisruptionBudget,
  "PriorityClass.scheduling.k8s.io": describePriorityClass,
  "CertificateSigningRequest.certificates.k8s.io": describeCertificateRequest,
  "EndpointSlice.discovery.k8s.io": describeEndpointSlice,
  "Ingress.networking.k8s.io": describeIngress,
  "IngressClass.networking.k8s.io": describeIngressClass,
  "NetworkPolicy.networking.k8s.io": describeNetworkPolicy,
  "StorageClass.storage.k8s.io": describeStorageClass,
  "Role.rbac.authorization.k8s.io": describeRole,
  "ClusterRole.rbac.authorization.k8s.io": describeRole,
  "RoleBinding.rbac.authorization.k8s.io": describeRoleBinding,
  "ClusterRoleBinding.rbac.authorization.k8s.io": describeRoleBinding,
};

/** Kinds whose events kubectl does not look for. */
const WITHOUT_EVENTS = new Set(
  "Secret. Namespace. LimitRange. ResourceQuota. NetworkPolicy.networking.k8s.io Role.rbac.authorization.k8s.io ClusterRole.rbac.authorization.k8s.io RoleBinding.rbac.authorization.k8s.io ClusterRoleBinding.rbac.authorization.k8s.io".split(
    " ",
  ),
);

/** The object as text, with its events where `withEvents`. */
export async function describeObject(
  group: string,
  object: KubeObject & { readonly kind?: string },
  context: DescribeContext,
  withEvents: boolean,
): Promise<string> {
  const out = new Description();
  const kind = `${object.kind ?? ""}.${group}`;
  const describer = describers[kind] ?? (describeGeneric as Describer);
  await describer(out, object as never, context);
  if (withEvents && !WITHOUT_EVENTS.has(kind)) {
    out.raw(renderEvents(await eventsOf(context.client, object, context.signal), context.nowMs));
  }
  return out.toString();
}
