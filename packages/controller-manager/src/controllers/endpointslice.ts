/**
 * EndpointSlices of Services with a selector.
 * Inputs: Services, Pods, Nodes, EndpointSlices. Writes: EndpointSlices, Events.
 */
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, planEndpointSlices, SERVICE_NAME_LABEL } from "../core/endpoint-slice-plan.ts";
import { isNamespaceTerminating } from "./replicaset.ts";
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
  const { informers, client, config, clock } = context;
  const queue = makeQueue(context);
  const tracker = new SliceTracker();
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
  nodes.subscribe({
    added: enqueueAll,
    updated: (old, node) => {
      if (zoneOf(old.metadata.labels) !== zoneOf(node.metadata.labels)) enqueueAll();
    },
    deleted: enqueueAll,
  });

  const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
    const service = services.get(parseKeyString(key));
    // The garbage collector removes the slices of a deleted Service.
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
    });
    for (const slice of plan.create) {
      try {
        const created = await client.create(discovery.endpointslices, slice, { signal });
        tracker.wrote(key, created, clock.monotonicMs());
      } catch (error) {
        if (isNamespaceTerminating(error)) return done;
        throw error;
      }
    }
    for (const slice of plan.update) {
      const updated = await client.update(discovery.endpointslices, slice, { signal });
      tracker.wrote(key, updated, clock.monotonicMs());
    }
    for (const slice of plan.delete) {
      try {
        await client.delete(discovery.endpointslices, keyOf(slice), {
          preconditions: { uid: slice.metadata.uid },
          signal,
        });
        tracker.deleted(key, slice, clock.monotonicMs());
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
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
