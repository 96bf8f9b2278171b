/** What every controller is given, and the loop that most of them are. */

import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";
import { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer, InformerSet } from "@knarr/client/informer.ts";
import { type Outcome, type Result, runController } from "@knarr/controller/reconcile-loop.ts";
import type { ControllerDescriptor } from "@knarr/controller/run-controllers.ts";
import { WorkQueue } from "@knarr/controller/work-queue.ts";
import type { WorkQueueMetrics } from "@knarr/controller/work-queue-metrics.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Registry } from "prom-client";
import type { Config } from "./config.ts";

export interface ControllerContext {
  /** Upstream's name of this controller. */
  readonly name: string;
  /** Writes as this controller's ServiceAccount where --use-service-account-credentials is set. */
  readonly client: Client;
  /** Shared by all controllers. */
  readonly informers: InformerSet;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly queueMetrics: WorkQueueMetrics;
  /** For metrics of a controller's own. */
  readonly registry: Registry;
  readonly observe: (outcome: Outcome) => void;
}

export interface Controller extends ControllerDescriptor<ControllerContext> {
  /** Of kube-system, as upstream's bootstrap roles name it; the controller's own name when absent. */
  readonly serviceAccount?: string;
  /** Acts as the manager itself, whatever --use-service-account-credentials says. */
  readonly ownClient?: boolean;
}

/** The queue of a controller, with its metrics. `part` tells the queues of one controller apart. */
export function makeQueue(context: ControllerContext, part?: string): WorkQueue {
  const name = part === undefined ? context.name : `${context.name}_${part}`;
  return new WorkQueue({ clock: context.clock, observer: context.queueMetrics.observe(name) });
}

/** `component` is what users see as the event's source: "deployment-controller". */
export function makeRecorder(context: ControllerContext, component: string = context.name): EventRecorder {
  return new EventRecorder({ client: context.client, component, clock: context.clock, log: context.log });
}

export interface LoopParts {
  readonly queue: WorkQueue;
  readonly workers: number;
  /** Nothing is reconciled before all of these are synced: until then absence means nothing. */
  readonly needs: readonly Informer<KubeObject>[];
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<Result>;
}

/** Waits for the informers, then works the queue until the signal aborts. */
export async function runLoop(context: ControllerContext, parts: LoopParts, signal: AbortSignal): Promise<void> {
  await Promise.all(parts.needs.map((informer) => informer.waitForSync(signal)));
  await runController({
    workers: parts.workers,
    queue: parts.queue,
    log: context.log,
    clock: context.clock,
    signal,
    observe: context.observe,
    reconcile: (key, { signal: abort }) => parts.reconcile(key, abort),
  });
}

/** Informers of any type as what `LoopParts.needs` takes. */
export function needs(
  ...informers: readonly { waitForSync(signal: AbortSignal): Promise<void> }[]
): LoopParts["needs"] {
  return informers as unknown as LoopParts["needs"];
}
