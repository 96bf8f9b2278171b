/**
 * Endpoints of Services with a selector. Inputs: Services, Pods, Endpoints. Writes: Endpoints.
 */
import { core } from "@knarr/api/generated/resources.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { planEndpoints } from "../core/endpoints-plan.ts";
import { isNamespaceTerminating } from "./pod-control.ts";
import { hasSelector, podsOf, watchServices } from "./service-queue.ts";

export const endpointsController: Controller = {
  name: "endpoints-controller",
  aliases: ["endpoint", "endpoints"],
  serviceAccount: "endpoint-controller",
  start: async (context) => startEndpoints(context),
};

function startEndpoints(context: ControllerContext): (signal: AbortSignal) => Promise<void> {
  const { informers, client, config } = context;
  const queue = makeQueue(context);
  const { services, pods } = watchServices(informers, queue, { batchMs: config.endpointUpdatesBatchPeriodMs });
  const endpoints = informers.informer(core.endpoints);
  endpoints.subscribe({
    // One whose Service went while nobody was looking; and one that somebody else removed.
    added: (object) => queue.add(keyString(keyOf(object))),
    deleted: (object) => queue.add(keyString(keyOf(object))),
  });
  const reconcile = async (text: string, signal: AbortSignal): Promise<Result> => {
    const key = parseKeyString(text);
    const service = services.get(key);
    const current = endpoints.get(key);
    if (service === undefined) {
      // Objects that serve as locks or were made by hand have no Service and are not ours to delete.
      const ours = current?.metadata.labels?.["endpoints.kubernetes.io/managed-by"] === "endpoint-controller";
      if (current === undefined || !ours) return done;
      try {
        await client.delete(core.endpoints, key, { preconditions: { uid: current.metadata.uid }, signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    }
    if (!hasSelector(service)) return done;
    const next = planEndpoints(service, podsOf(service, pods), current);
    if (next === undefined) return done;
    try {
      if (current === undefined) await client.create(core.endpoints, next, { signal });
      else await client.update(core.endpoints, next, { signal });
    } catch (error) {
      if (isNamespaceTerminating(error)) return done;
      throw error;
    }
    return done;
  };
  return (signal) =>
    runLoop(
      context,
      { queue, workers: config.concurrentEndpointSyncs, needs: needs(services, pods, endpoints), reconcile },
      signal,
    );
}
