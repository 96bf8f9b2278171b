/**
 * The admission plugins in the order in which they run, mutating phase first, then the validating one, and which of them
 * are on unless --disable-admission-plugins names them.
 * Source: k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go (AllOrderedPlugins, DefaultOffAdmissionPlugins)
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { ResourceStorage } from "../storage/types.ts";
import { alwaysPullImages } from "./always-pull-images.ts";
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from "./certificates.ts";
import { defaultIngressClass } from "./default-ingress-class.ts";
import { defaultStorageClass } from "./default-storage-class.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { createEventRateLimit } from "./event-rate-limit.ts";
import { limitRanger } from "./limit-ranger.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeRestriction } from "./node-restriction.ts";
import {
  createOwnerReferencesPermissionEnforcement,
  type FindKind,
} from "./owner-references-permission-enforcement.ts";
import { persistentVolumeClaimResize } from "./persistent-volume-claim-resize.ts";
import type { AdmissionPlugin } from "./plugin.ts";
import { createPodNodeSelector } from "./pod-node-selector.ts";
import { createPodSecurity } from "./pod-security/pod-security.ts";
import { podTopologyLabels } from "./pod-topology-labels.ts";
import { priority } from "./priority.ts";
import {
  alwaysAdmit,
  alwaysDeny,
  denyServiceExternalIps,
  extendedResourceToleration,
  limitPodHardAntiAffinityTopology,
  namespaceExists,
} from "./rare.ts";
import { createResourceQuota } from "./resource-quota/resource-quota.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import { storageObjectInUseProtection } from "./storage-object-in-use-protection.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";

/** What plugins are made with. */
export interface PluginTools {
  readonly clock: Clock;
  readonly findKind: FindKind;
  readonly storageOf: (ref: ResourceRef<unknown>) => ResourceStorage;
}

interface OrderedPlugin {
  readonly name: string;
  readonly defaultOn: boolean;
  /** Throws AdmissionConfigurationError for a configuration that it does not understand. */
  readonly create: (configuration: JsonObject | undefined, tools: PluginTools) => AdmissionPlugin;
}

const on = (plugin: AdmissionPlugin): OrderedPlugin => ({ name: plugin.name, defaultOn: true, create: () => plugin });
const off = (plugin: AdmissionPlugin): OrderedPlugin => ({ name: plugin.name, defaultOn: false, create: () => plugin });

export const orderedPlugins: readonly OrderedPlugin[] = [
  off(alwaysAdmit),
  on(namespaceLifecycle),
  off(namespaceExists),
  off(limitPodHardAntiAffinityTopology),
  on(limitRanger),
  on(serviceAccount),
  off(nodeRestriction),
  on(taintNodesByCondition),
  off(alwaysPullImages),
  { name: "PodSecurity", defaultOn: true, create: createPodSecurity },
  { name: "PodNodeSelector", defaultOn: false, create: createPodNodeSelector },
  on(priority),
  on(defaultTolerationSeconds),
  { name: "EventRateLimit", defaultOn: false, create: (document, { clock }) => createEventRateLimit(document, clock) },
  off(extendedResourceToleration),
  on(defaultStorageClass),
  on(storageObjectInUseProtection),
  {
    name: "OwnerReferencesPermissionEnforcement",
    defaultOn: false,
    create: (_document, { findKind }) => createOwnerReferencesPermissionEnforcement(findKind),
  },
  on(persistentVolumeClaimResize),
  on(runtimeClass),
  on(certificateApproval),
  on(certificateSigning),
  on(certificateSubjectRestriction),
  on(defaultIngressClass),
  off(denyServiceExternalIps),
  on(podTopologyLabels),
  // MutatingAdmissionPolicy, MutatingAdmissionWebhook, ValidatingAdmissionPolicy, ValidatingAdmissionWebhook
  {
    name: "ResourceQuota",
    defaultOn: true,
    create: (document, { clock, storageOf }) =>
      createResourceQuota(document, { clock, storage: storageOf(core.resourcequotas) }),
  },
  off(alwaysDeny),
];

/** Upstream's other plugins, whose names people's flags may have. */
export const notOffered: readonly string[] = [
  "NamespaceAutoProvision",
  "ImagePolicyWebhook",
  "PodTolerationRestriction",
  "ClusterTrustBundleAttest",
  "MutatingAdmissionPolicy",
  "MutatingAdmissionWebhook",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionWebhook",
];
