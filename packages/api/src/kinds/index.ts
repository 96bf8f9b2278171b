/** Every kind that the API server serves; core first, then groups and kinds in alphabetical order. */
import type { KindDescriptor } from "../descriptor.ts";
import { controllerRevisionKind } from "./apps/controller-revision.ts";
import { daemonSetKind } from "./apps/daemon-set.ts";
import { deploymentKind } from "./apps/deployment.ts";
import { replicaSetKind } from "./apps/replica-set.ts";
import { statefulSetKind } from "./apps/stateful-set.ts";
import { selfSubjectReviewKind, tokenReviewKind } from "./authentication/reviews.ts";
import {
  localSubjectAccessReviewKind,
  selfSubjectAccessReviewKind,
  selfSubjectRulesReviewKind,
  subjectAccessReviewKind,
} from "./authorization/reviews.ts";
import { horizontalPodAutoscalerKind } from "./autoscaling/horizontal-pod-autoscaler.ts";
import { horizontalPodAutoscalerV1Kind } from "./autoscaling/horizontal-pod-autoscaler-v1.ts";
import { cronJobKind } from "./batch/cron-job.ts";
import { jobKind } from "./batch/job.ts";
import { certificateSigningRequestKind } from "./certificates/certificate-signing-request.ts";
import { leaseKind } from "./coordination/lease.ts";
import { bindingKind } from "./core/binding.ts";
import { componentStatusKind } from "./core/component-status.ts";
import { configMapKind } from "./core/config-map.ts";
import { endpointsKind } from "./core/endpoints.ts";
import { eventKind } from "./core/event.ts";
import { limitRangeKind } from "./core/limit-range.ts";
import { namespaceKind } from "./core/namespace.ts";
import { nodeKind } from "./core/node.ts";
import { persistentVolumeKind } from "./core/persistent-volume.ts";
import { persistentVolumeClaimKind } from "./core/persistent-volume-claim.ts";
import { podKind } from "./core/pod.ts";
import { podTemplateKind } from "./core/pod-template.ts";
import { replicationControllerKind } from "./core/replication-controller.ts";
import { resourceQuotaKind } from "./core/resource-quota.ts";
import { secretKind } from "./core/secret.ts";
import { serviceKind } from "./core/service.ts";
import { serviceAccountKind } from "./core/service-account.ts";
import { endpointSliceKind } from "./discovery/endpoint-slice.ts";
import { eventsEventKind } from "./events/event.ts";
import { flowSchemaKind } from "./flowcontrol/flow-schema.ts";
import { priorityLevelConfigurationKind } from "./flowcontrol/priority-level-configuration.ts";
import { ingressKind } from "./networking/ingress.ts";
import { ingressClassKind } from "./networking/ingress-class.ts";
import { ipAddressKind } from "./networking/ip-address.ts";
import { networkPolicyKind } from "./networking/network-policy.ts";
import { serviceCidrKind } from "./networking/service-cidr.ts";
import { runtimeClassKind } from "./node/runtime-class.ts";
import { podDisruptionBudgetKind } from "./policy/pod-disruption-budget.ts";
import { clusterRoleKind } from "./rbac/cluster-role.ts";
import { clusterRoleBindingKind } from "./rbac/cluster-role-binding.ts";
import { roleKind } from "./rbac/role.ts";
import { roleBindingKind } from "./rbac/role-binding.ts";
import { deviceClassKind } from "./resource/device-class.ts";
import { resourceClaimKind } from "./resource/resource-claim.ts";
import { resourceClaimTemplateKind } from "./resource/resource-claim-template.ts";
import { resourceSliceKind } from "./resource/resource-slice.ts";
import { priorityClassKind } from "./scheduling/priority-class.ts";
import { csiDriverKind } from "./storage/csi-driver.ts";
import { csiNodeKind } from "./storage/csi-node.ts";
import { csiStorageCapacityKind } from "./storage/csi-storage-capacity.ts";
import { storageClassKind } from "./storage/storage-class.ts";
import { volumeAttachmentKind } from "./storage/volume-attachment.ts";
import { volumeAttributesClassKind } from "./storage/volume-attributes-class.ts";

export const allKinds: readonly KindDescriptor[] = [
  bindingKind,
  componentStatusKind,
  configMapKind,
  endpointsKind,
  eventKind,
  limitRangeKind,
  namespaceKind,
  nodeKind,
  persistentVolumeClaimKind,
  persistentVolumeKind,
  podTemplateKind,
  podKind,
  replicationControllerKind,
  resourceQuotaKind,
  secretKind,
  serviceAccountKind,
  serviceKind,
  controllerRevisionKind,
  daemonSetKind,
  deploymentKind,
  replicaSetKind,
  statefulSetKind,
  selfSubjectReviewKind,
  tokenReviewKind,
  localSubjectAccessReviewKind,
  selfSubjectAccessReviewKind,
  selfSubjectRulesReviewKind,
  subjectAccessReviewKind,
  horizontalPodAutoscalerV1Kind,
  horizontalPodAutoscalerKind,
  cronJobKind,
  jobKind,
  certificateSigningRequestKind,
  leaseKind,
  endpointSliceKind,
  eventsEventKind,
  flowSchemaKind,
  priorityLevelConfigurationKind,
  ingressClassKind,
  ingressKind,
  ipAddressKind,
  networkPolicyKind,
  serviceCidrKind,
  runtimeClassKind,
  podDisruptionBudgetKind,
  clusterRoleBindingKind,
  clusterRoleKind,
  roleBindingKind,
  roleKind,
  deviceClassKind,
  resourceClaimTemplateKind,
  resourceClaimKind,
  resourceSliceKind,
  priorityClassKind,
  csiDriverKind,
  csiNodeKind,
  csiStorageCapacityKind,
  storageClassKind,
  volumeAttachmentKind,
  volumeAttributesClassKind,
];
