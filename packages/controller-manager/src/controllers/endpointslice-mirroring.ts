/**
 * EndpointSlices for Endpoints that somebody made by hand, so that those who read slices only see them too.
 * Inputs: Endpoints, Services, EndpointSlices. Writes: EndpointSlices, Events.
 */
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from "../core/endpoint-slice-plan.ts";
import { MIRRORED_BY, planMirror, shouldMirror } from "../core/slice-mirroring-plan.ts";
import { applySlicePlan } from "./apply-slice-plan.ts";
import { SliceTracker } from "./slice-tracker.ts";

const BY_SERVICE = "serviceName";
const STALE_RETRY_MS = 1000;

export const endpointsliceMirroringController: Controller = {
  name: "endpointslice-mirroring-controller",
  aliases: ["endpointslicemirroring"],
  serviceAccount: "endpointslicemirroring-controller",
  start: async (context) => startMirroring(context),
};

function startMirroring(context: ControllerContext): (signal: AbortSignal) => Promise<void> {
  const { informers, config, clock } = context;
  const queue = makeQueue(context);
  const events = makeRecorder(context);
  const tracker = new SliceTracker();
  const endpoints = informers.informer(core.endpoints);
  const services = informers.informer(core.services);
  const slices = informers.informer(discovery.endpointslices, {
    indexers: { [BY_SERVICE]: (slice) => [serviceKeyOf(slice)] },
  });
  const isOurs = (slice: EndpointSlice) => slice.metadata.labels?.[MANAGED_BY_LABEL] === MIRRORED_BY;
  const later = (object: { metadata: { namespace?: string | undefined; name?: string | undefined } }) =>
    queue.addAfter(keyString(keyOf(object)), config.mirroringEndpointsliceUpdatesBatchPeriodMs);
  endpoints.subscribe({ added: later, updated: (_old, now) => later(now), deleted: later });
  services.subscribe({ added: later, updated: (_old, now) => later(now), deleted: later });
  const enqueueSlice = (slice: EndpointSlice) => {
    if (isOurs(slice)) queue.add(serviceKeyOf(slice));
  };
  slices.subscribe({
    added: enqueueSlice,
    updated: (old, now) => {
      enqueueSlice(now);
      if (serviceKeyOf(old) !== serviceKeyOf(now)) enqueueSlice(old);
    },
    deleted: enqueueSlice,
  });

  const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
    const source = endpoints.get(parseKeyString(key));
    const managed = slices.byIndex(BY_SERVICE, key).filter(isOurs);
    if (tracker.isStale(key, managed, clock.monotonicMs())) return after(STALE_RETRY_MS);
    if (source === undefined || !shouldMirror(source, services.get(parseKeyString(key)))) {
      await applySlicePlan(context, { key, plan: { create: [], update: [], delete: managed }, tracker, signal });
      return done;
    }
    const maxPerSubset = config.mirroringMaxEndpointsPerSubset;
    const plan = planMirror({ endpoints: source, slices: managed, maxPerSubset });
    if (plan.invalid > 0) {
      const text = `Skipped ${plan.invalid} invalid IP addresses when mirroring to EndpointSlices`;
      events.event(source, "Warning", "InvalidIPAddress", text);
    }
    if (plan.skipped > plan.invalid) {
      const text = `A max of ${maxPerSubset} addresses can be mirrored to EndpointSlices per Endpoints subset. ${plan.skipped} addresses were skipped`;
      events.event(source, "Warning", "TooManyAddressesToMirror", text);
    }
    await applySlicePlan(context, { key, plan, tracker, signal });
    return done;
  };
  const workers = config.mirroringConcurrentServiceEndpointSyncs;
  return (signal) => runLoop(context, { queue, workers, needs: needs(endpoints, services, slices), reconcile }, signal);
}

function serviceKeyOf({ metadata }: EndpointSlice): string {
  return keyString({ namespace: metadata.namespace ?? "", name: metadata.labels?.[SERVICE_NAME_LABEL] ?? "" });
}
