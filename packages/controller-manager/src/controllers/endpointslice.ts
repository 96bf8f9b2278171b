/**
 * EndpointSlices of Services with a selector.
 * Inputs: Services, Pods, Nodes, EndpointSlices. Writes: EndpointSlices, Events.
 */
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { Node, Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, planEndpointSlices, SERVICE_NAME_LABEL } from "../core/endpoint-slice-plan.ts";
import { type HintsPlan, wantsTopologyHints, zoneShares } from "../core/topology-hints.ts";
import { applySlicePlan } from "./apply-slice-plan.ts";
import { hasSelector, podsOf, watchServices } from "./service-queue.ts";
import { SliceTracker } from "./slice-tracker.ts";

const BY_SERVICE = "serviceName";
/** The event that ends staleness enqueues the Service too; this is for the one that never comes. */
const STALE_RETRY_MS = 1000;

export const endpointsliceController: Controller = {
  name: "endpointslice-controller",
  aliases: ["endpointslice"],
  start: async (context) => startEndpointSlices(context),
};

function startEndpointSlices(context: ControllerContext): (signal: AbortSignal) => Promise<void> {
  const { informers, config, clock } = context;
  const queue = makeQueue(context);
  const tracker = new SliceTracker();
  const reporter = new HintsReporter(makeRecorder(context));
  const { services, pods } = watchServices(informers, queue, { batchMs: config.endpointsliceUpdatesBatchPeriodMs });
  const nodes = informers.informer(core.nodes);
  const slices = informers.informer(discovery.endpointslices, {
    indexers: { [BY_SERVICE]: (slice) => [serviceKeyOf(slice)] },
  });
  const enqueueOwner = (slice: EndpointSlice) => {
    if (slice.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY) queue.add(serviceKeyOf(slice));
  };
  slices.subscribe({
    added: enqueueOwner,
    updated: (old, slice) => {
      enqueueOwner(slice);
      if (serviceKeyOf(old) !== serviceKeyOf(slice)) enqueueOwner(old);
    },
    deleted: enqueueOwner,
  });
  const zoneOf = (labels: Record<string, string> | undefined) => labels?.["topology.kubernetes.io/zone"];
  const enqueueAll = () => {
    for (const service of services.list()) if (hasSelector(service)) queue.add(keyString(keyOf(service)));
  };
  const enqueueHinted = () => {
    for (const service of services.list()) if (wantsTopologyHints(service)) queue.add(keyString(keyOf(service)));
  };
  const isReady = ({ status }: Node) => status?.conditions?.find(({ type }) => type === "Ready")?.status;
  nodes.subscribe({
    added: enqueueAll,
    updated: (old, node) => {
      if (zoneOf(old.metadata.labels) !== zoneOf(node.metadata.labels)) enqueueAll();
      const sameCpu = old.status?.allocatable?.cpu === node.status?.allocatable?.cpu;
      if (!sameCpu || isReady(old) !== isReady(node)) enqueueHinted();
    },
    deleted: enqueueAll,
  });

  const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
    const service = services.get(parseKeyString(key));
    // The garbage collector removes the slices of a deleted Service.
    if (service === undefined) reporter.forget(key);
    if (service === undefined || !hasSelector(service)) return done;
    if (service.metadata.deletionTimestamp !== undefined) return done;
    const managed = slices
      .byIndex(BY_SERVICE, key)
      .filter((slice) => slice.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY);
    // Our own writes haven't come back yet: planning on the old state would write the same twice.
    if (tracker.isStale(key, managed, clock.monotonicMs())) return after(STALE_RETRY_MS);
    const plan = planEndpointSlices({
      service,
      pods: podsOf(service, pods),
      nodes: (name) => nodes.get({ namespace: "", name }),
      slices: managed,
      maxEndpointsPerSlice: config.maxEndpointsPerSlice,
      zoneShares: () => zoneShares(nodes.list()),
    });
    reporter.report(service, plan.hints);
    await applySlicePlan(context, { key, plan, tracker, signal });
    return done;
  };
  return (signal) =>
    runLoop(
      context,
      {
        queue,
        workers: config.concurrentServiceEndpointSyncs,
        needs: needs(services, pods, nodes, slices),
        reconcile,
      },
      signal,
    );
}

function serviceKeyOf({ metadata }: EndpointSlice): string {
  return keyString({ namespace: metadata.namespace ?? "", name: metadata.labels?.[SERVICE_NAME_LABEL] ?? "" });
}

/** Says as events what became of a Service's wish for topology hints, once per change. */
class HintsReporter {
  readonly #events: EventRecorder;
  /** Service and address type -> what was said last; "" for hints that are given. */
  readonly #said = new Map<string, string>();

  constructor(events: EventRecorder) {
    this.#events = events;
  }

  forget(key: string): void {
    for (const addressType of ["IPv4", "IPv6"]) this.#said.delete(`${key}/${addressType}`);
  }

  report(service: Service, hints: ReadonlyMap<string, HintsPlan>): void {
    for (const addressType of ["IPv4", "IPv6"]) {
      const id = `${keyString(keyOf(service))}/${addressType}`;
      const plan = hints.get(addressType);
      const before = this.#said.get(id);
      const say = (type: "Normal" | "Warning", reason: string, text: string) =>
        this.#events.event(service, type, reason, `${text}, addressType: ${addressType}`);
      if (plan === undefined) {
        this.#said.delete(id);
        if (before === "") {
          say("Normal", "TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled");
        }
        continue;
      }
      const now = plan.kind === "none" ? plan.why : "";
      if (now === before) continue;
      this.#said.set(id, now);
      if (plan.kind === "none") say("Warning", "TopologyAwareHintsDisabled", plan.why);
      else say("Normal", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled");
    }
  }
}
