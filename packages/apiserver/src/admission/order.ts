/**
 * The admission plugins in the order in which they run, mutating phase first, then the validating one.
 * Source: k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go (AllOrderedPlugins); places kept for those to come.
 */
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeRestriction } from "./node-restriction.ts";
import type { AdmissionPlugin } from "./plugin.ts";
import { priority } from "./priority.ts";
import { serviceAccount } from "./service-account.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";

interface OrderedPlugin {
  readonly plugin: AdmissionPlugin;
  readonly defaultOn: boolean;
}

const on = (plugin: AdmissionPlugin): OrderedPlugin => ({ plugin, defaultOn: true });
const off = (plugin: AdmissionPlugin): OrderedPlugin => ({ plugin, defaultOn: false });

export const orderedPlugins: readonly OrderedPlugin[] = [
  // AlwaysPullImages
  on(namespaceLifecycle),
  // LimitRanger
  on(serviceAccount),
  off(nodeRestriction),
  on(taintNodesByCondition),
  // PodSecurity, PodNodeSelector
  on(priority),
  on(defaultTolerationSeconds),
  // StorageObjectInUseProtection, PersistentVolumeClaimResize, RuntimeClass, Certificate*, DefaultStorageClass,
  // DefaultIngressClass, MutatingAdmissionPolicy, MutatingAdmissionWebhook, ValidatingAdmissionPolicy,
  // ValidatingAdmissionWebhook, and last of all ResourceQuota.
];

/** The plugins in force, given --enable-admission-plugins and --disable-admission-plugins. */
export function activePlugins(enabled: readonly string[], disabled: readonly string[]): readonly AdmissionPlugin[] {
  return orderedPlugins
    .filter(({ plugin, defaultOn }) => (defaultOn || enabled.includes(plugin.name)) && !disabled.includes(plugin.name))
    .map(({ plugin }) => plugin);
}
