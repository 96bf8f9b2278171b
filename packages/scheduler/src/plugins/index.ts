/**
 * The plugins by name, and the default profile: upstream's plugins in upstream's order with upstream's weights.
 * Source: pkg/scheduler/apis/config/v1/default_plugins.go (getDefaultPlugins)
 */
import type { Framework, Plugin } from "../core/framework.ts";
import { defaultBinder } from "./default-binder.ts";
import { defaultPreemption } from "./default-preemption.ts";
import { dynamicResources } from "./dynamic-resources.ts";
import { imageLocality } from "./image-locality.ts";
import { interPodAffinity } from "./inter-pod-affinity.ts";
import { nodeAffinity } from "./node-affinity.ts";
import { nodeName } from "./node-name.ts";
import { nodePorts } from "./node-ports.ts";
import { nodeResourcesBalancedAllocation } from "./node-resources-balanced-allocation.ts";
import { nodeResourcesFit } from "./node-resources-fit.ts";
import { nodeUnschedulable } from "./node-unschedulable.ts";
import { nodeVolumeLimits } from "./node-volume-limits.ts";
import type { PluginHandle } from "./plugin-handle.ts";
import { podTopologySpread } from "./pod-topology-spread.ts";
import { prioritySort } from "./priority-sort.ts";
import { schedulingGates } from "./scheduling-gates.ts";
import { taintToleration } from "./taint-toleration.ts";
import { volumeBinding } from "./volume-binding.ts";
import { volumeRestrictions } from "./volume-restrictions.ts";
import { volumeZone } from "./volume-zone.ts";

/** Makes a plugin; `framework` is the profile it becomes part of, complete only after all plugins are made. */
export type MakePlugin = (
  args: Readonly<Record<string, unknown>>,
  handle: PluginHandle,
  framework: () => Framework,
) => Plugin;

export interface RegisteredPlugin {
  readonly name: string;
  /** Of its scores in the default profile; 0 when it does not score. */
  readonly weight: number;
  readonly make: MakePlugin;
}

/** In execution order. */
export const PLUGINS: readonly RegisteredPlugin[] = [
  { name: "SchedulingGates", weight: 0, make: schedulingGates },
  { name: "PrioritySort", weight: 0, make: prioritySort },
  { name: "NodeUnschedulable", weight: 0, make: nodeUnschedulable },
  { name: "NodeName", weight: 0, make: nodeName },
  { name: "TaintToleration", weight: 3, make: taintToleration },
  { name: "NodeAffinity", weight: 2, make: nodeAffinity },
  { name: "NodePorts", weight: 0, make: nodePorts },
  { name: "NodeResourcesFit", weight: 1, make: nodeResourcesFit },
  { name: "VolumeRestrictions", weight: 0, make: volumeRestrictions },
  { name: "NodeVolumeLimits", weight: 0, make: nodeVolumeLimits },
  { name: "VolumeBinding", weight: 0, make: volumeBinding },
  { name: "VolumeZone", weight: 0, make: volumeZone },
  { name: "PodTopologySpread", weight: 2, make: podTopologySpread },
  { name: "InterPodAffinity", weight: 2, make: interPodAffinity },
  { name: "DynamicResources", weight: 0, make: dynamicResources },
  { name: "DefaultPreemption", weight: 0, make: defaultPreemption },
  { name: "NodeResourcesBalancedAllocation", weight: 1, make: nodeResourcesBalancedAllocation },
  { name: "ImageLocality", weight: 1, make: imageLocality },
  { name: "DefaultBinder", weight: 0, make: defaultBinder },
];
