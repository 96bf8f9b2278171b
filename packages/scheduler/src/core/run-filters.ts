/** Filters on one node, nominated pods included. Source: pkg/scheduler/framework/runtime/framework.go (RunFilterPluginsWithNominatedPods) */
import type { CycleState, Framework, PluginStatus, With } from "./framework.ts";
import type { NodeInfo } from "./node-info.ts";
import type { Nominations } from "./nominations.ts";
import type { PodInfo } from "./pod-info.ts";

export interface FilterRun {
  readonly framework: Framework;
  /** The filters that PreFilter did not make superfluous. */
  readonly filters: readonly With<"filter">[];
  readonly nominations: Nominations;
  /** Told how long each filter took, when given. */
  readonly observe?: ((plugin: string, seconds: number) => void) | undefined;
  readonly monotonicMs?: (() => number) | undefined;
}

export function filtersFor(framework: Framework, state: CycleState): readonly With<"filter">[] {
  if (state.skipFilter.size === 0) return framework.filter;
  return framework.filter.filter((plugin) => !state.skipFilter.has(plugin.name));
}

/**
 * The first refusal of `pod` on `node`. Where pods of at least its priority are nominated for the node, the pod must fit
 * with them (they may come) and without them (they may not; affinity to them would be in vain).
 */
export function firstRefusal(
  run: FilterRun,
  state: CycleState,
  pod: PodInfo,
  node: NodeInfo,
): PluginStatus | undefined {
  if (run.nominations.isEmpty) return runFilters(run, state, pod, node);
  let withNominated: { state: CycleState; node: NodeInfo } | undefined;
  for (const other of run.nominations.on(node.name)) {
    if (other.priority < pod.priority || other.id === pod.id) continue;
    withNominated ??= { state: state.clone(), node: node.clone() };
    withNominated.node.addPod(other);
    for (const plugin of run.framework.preFilter) {
      if (!state.skipFilter.has(plugin.name)) plugin.addPod?.(withNominated.state, pod, other, withNominated.node);
    }
  }
  if (withNominated !== undefined) {
    const refusal = runFilters(run, withNominated.state, pod, withNominated.node);
    if (refusal !== undefined) return refusal;
  }
  return runFilters(run, state, pod, node);
}

function runFilters(run: FilterRun, state: CycleState, pod: PodInfo, node: NodeInfo): PluginStatus | undefined {
  const { filters, observe, monotonicMs } = run;
  for (const plugin of filters) {
    const startedMs = observe === undefined ? 0 : (monotonicMs?.() ?? 0);
    const status = plugin.filter(state, pod, node);
    observe?.(plugin.name, ((monotonicMs?.() ?? 0) - startedMs) / 1000);
    if (status !== undefined) return status;
  }
  return undefined;
}
