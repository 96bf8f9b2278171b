/**
 * NodeResourcesBalancedAllocation: nodes whose resources would be used to similar shares.
 * Source: plugins/noderesources/balanced_allocation.go
 */
import { MAX_NODE_SCORE, type Plugin, skip } from "../core/framework.ts";
import { type ResourceWeight, requestedOf } from "./node-resources.ts";
import type { PluginFactory } from "./plugin-handle.ts";

const name = "NodeResourcesBalancedAllocation";

export const nodeResourcesBalancedAllocation: PluginFactory = (args): Plugin => {
  const resources = args.resources as readonly ResourceWeight[];
  const fractions: number[] = [];
  return {
    name,
    preScore(_state, { requests }) {
      // Pods that ask for nothing change no balance, and would all go to the same node.
      const asks = resources.some(({ name: resource }) => {
        if (resource === "cpu") return requests.cpuMillis > 0;
        if (resource === "memory") return requests.memoryBytes > 0;
        if (resource === "ephemeral-storage") return requests.ephemeralBytes > 0;
        return (requests.scalars.get(resource) ?? 0) > 0;
      });
      return asks ? undefined : skip(name);
    },
    score(_state, pod, node) {
      fractions.length = 0;
      for (const { name: resource } of resources) {
        const capacity = node.allocatable.of(resource);
        const used = requestedOf(pod, node, resource, "plain");
        if (capacity > 0 && used !== undefined) fractions.push(Math.min(1, used / capacity));
      }
      return Math.trunc((1 - deviation(fractions)) * MAX_NODE_SCORE);
    },
  };
};

function deviation(fractions: readonly number[]): number {
  if (fractions.length < 2) return 0;
  if (fractions.length === 2) return Math.abs(((fractions[0] as number) - (fractions[1] as number)) / 2);
  let sum = 0;
  for (const fraction of fractions) sum += fraction;
  const mean = sum / fractions.length;
  let squares = 0;
  for (const fraction of fractions) squares += (fraction - mean) ** 2;
  return Math.sqrt(squares / fractions.length);
}
