/**
 * Every controller, in the order in which they start. The garbage collector comes last: it shares the informers that the
 * others have asked for.
 */
import type { Controller } from "../controller-context.ts";
import { attachDetachController } from "./attach-detach.ts";
import { bootstrapSignerController } from "./bootstrap-signer.ts";
import { clusterroleAggregationController } from "./clusterrole-aggregation.ts";
import { cronjobController } from "./cronjob.ts";
import { csrApprovingController } from "./csr-approving.ts";
import { csrCleanerController } from "./csr-cleaner.ts";
import { csrSigningController } from "./csr-signing.ts";
import { daemonsetController } from "./daemonset.ts";
import { deploymentController } from "./deployment.ts";
import { disruptionController } from "./disruption.ts";
import { endpointsController } from "./endpoints.ts";
import { endpointsliceController } from "./endpointslice.ts";
import { endpointsliceMirroringController } from "./endpointslice-mirroring.ts";
import { ephemeralVolumeController } from "./ephemeral-volume.ts";
import { garbageCollectorController } from "./garbage-collector.ts";
import { horizontalPodAutoscalerController } from "./horizontal-pod-autoscaler.ts";
import { jobController } from "./job.ts";
import { legacyServiceAccountTokenCleanerController } from "./legacy-serviceaccount-token-cleaner.ts";
import { namespaceController } from "./namespace.ts";
import { nodeIpamController } from "./node-ipam.ts";
import { nodeLifecycleController } from "./node-lifecycle.ts";
import { persistentVolumeBinderController } from "./persistent-volume-binder.ts";
import { persistentVolumeExpanderController } from "./persistentvolume-expander.ts";
import { persistentVolumeProtectionController } from "./persistentvolume-protection.ts";
import { persistentVolumeClaimProtectionController } from "./persistentvolumeclaim-protection.ts";
import { podGarbageCollectorController } from "./pod-garbage-collector.ts";
import { replicasetController, replicationcontrollerController } from "./replicaset.ts";
import { resourceClaimController } from "./resource-claim.ts";
import { resourceQuotaController } from "./resourcequota.ts";
import { rootCaPublisherController } from "./root-ca-publisher.ts";
import { serviceCidrController } from "./service-cidr.ts";
import { serviceaccountController } from "./serviceaccount.ts";
import { serviceAccountTokenController } from "./serviceaccount-token.ts";
import { statefulsetController } from "./statefulset.ts";
import { taintEvictionController } from "./taint-eviction.ts";
import { tokenCleanerController } from "./token-cleaner.ts";
import { ttlController } from "./ttl.ts";
import { ttlAfterFinishedController } from "./ttl-after-finished.ts";
import { volumeAttributesClassProtectionController } from "./volumeattributesclass-protection.ts";

export const controllers: readonly Controller[] = [
  serviceAccountTokenController,
  serviceaccountController,
  legacyServiceAccountTokenCleanerController,
  bootstrapSignerController,
  tokenCleanerController,
  rootCaPublisherController,
  clusterroleAggregationController,
  csrApprovingController,
  csrSigningController,
  csrCleanerController,
  nodeIpamController,
  nodeLifecycleController,
  ttlController,
  serviceCidrController,
  taintEvictionController,
  endpointsController,
  endpointsliceController,
  endpointsliceMirroringController,
  replicasetController,
  replicationcontrollerController,
  deploymentController,
  statefulsetController,
  daemonsetController,
  jobController,
  ttlAfterFinishedController,
  cronjobController,
  disruptionController,
  horizontalPodAutoscalerController,
  persistentVolumeBinderController,
  attachDetachController,
  persistentVolumeExpanderController,
  ephemeralVolumeController,
  persistentVolumeClaimProtectionController,
  persistentVolumeProtectionController,
  volumeAttributesClassProtectionController,
  resourceClaimController,
  resourceQuotaController,
  namespaceController,
  podGarbageCollectorController,
  garbageCollectorController,
];
