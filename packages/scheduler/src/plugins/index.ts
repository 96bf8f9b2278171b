/**
 * The default plugins, each list in execution order. Weights are upstream's.
 * Source: pkg/scheduler/apis/config/v1/default_plugins.go
 */
import type { BindPlugin, Framework, Plugin } from "../core/framework.ts";
import { nodeAffinity } from "./node-affinity.ts";
import { nodeName } from "./node-name.ts";
import { nodePorts } from "./node-ports.ts";
import { nodeResourcesFit } from "./node-resources-fit.ts";
import { nodeUnschedulable } from "./node-unschedulable.ts";
import { prioritySort } from "./priority-sort.ts";
import { schedulingGates } from "./scheduling-gates.ts";
import { taintToleration } from "./taint-toleration.ts";

/** The framework of a profile with the default plugins; `binder` does the outside work. */
export function defaultFramework(profileName: string, binder: BindPlugin): Framework {
  return {
    profileName,
    preEnqueue: [schedulingGates],
    queueSort: prioritySort,
    preFilter: [nodePorts, nodeResourcesFit],
    filter: [nodeUnschedulable, nodeName, taintToleration, nodeAffinity, nodePorts, nodeResourcesFit],
    postFilter: [],
    preScore: [nodeAffinity],
    score: [
      { plugin: taintToleration, weight: 3 },
      { plugin: nodeAffinity, weight: 2 },
      { plugin: nodeResourcesFit, weight: 1 },
    ],
    reserve: [],
    permit: [],
    preBind: [],
    bind: [binder],
    postBind: [],
  };
}

/** All plugins of a framework by name. */
export function pluginsByName(framework: Framework): ReadonlyMap<string, Plugin> {
  const all: readonly Plugin[] = [
    ...framework.preEnqueue,
    framework.queueSort,
    ...framework.preFilter,
    ...framework.filter,
    ...framework.postFilter,
    ...framework.preScore,
    ...framework.score.map(({ plugin }) => plugin),
    ...framework.reserve,
    ...framework.permit,
    ...framework.preBind,
    ...framework.bind,
    ...framework.postBind,
  ];
  return new Map(all.map((plugin) => [plugin.name, plugin]));
}
