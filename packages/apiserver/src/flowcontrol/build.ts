/** Flow control put together from the configuration; undefined with --enable-priority-and-fairness=false. */
import { flowcontrol } from "@knarr/api/generated/resources.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "@knarr/api/generated/types/flowcontrol-v1.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Registry } from "prom-client";
import type { Config } from "../config.ts";
import type { FairUse } from "../http/filters/flow-control.ts";
import type { Storage } from "../storage/storage.ts";
import type { ObjectView } from "../storage/types.ts";
import { FlowControl } from "./flow-control.ts";
import { configureDefaults } from "./keep-objects.ts";
import { createFlowMetrics } from "./metrics.ts";

export interface BuiltFairUse extends FairUse {
  readonly schemas: ObjectView<FlowSchema>;
  readonly levels: ObjectView<PriorityLevelConfiguration>;
}

export function buildFairUse(
  config: Config,
  parts: { readonly storage: Storage; readonly clock: Clock; readonly registry: Registry },
): BuiltFairUse | undefined {
  if (!config.enablePriorityAndFairness) return undefined;
  const { storage, clock, registry } = parts;
  const control = new FlowControl({
    totalSeats: config.maxRequestsInflight + config.maxMutatingRequestsInflight,
    // Source: k8s.io/apiserver server/config.go: a quarter of the request's time may be spent waiting.
    maxWaitMs: config.requestTimeoutMs / 4,
    clock,
  });
  configureDefaults(control);
  control.useMetrics(createFlowMetrics(registry, () => control.levels.values()));
  return {
    control,
    countObjects: (of) => storage.countOf(of),
    watchers: new Map(),
    schemas: storage.view(flowcontrol.flowschemas),
    levels: storage.view(flowcontrol.prioritylevelconfigurations),
  };
}
