/** The annotation by which kubelets know how long to cache. Inputs: Nodes. Writes: their annotation. */
import { core } from "@knarr/api/generated/resources.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, makeQueue, needs, runLoop } from "../controller-context.ts";
import { TTL_ANNOTATION, ttlSeconds, ttlStep } from "../core/node-ttl-plan.ts";

export const ttlController: Controller = {
  name: "ttl-controller",
  aliases: ["ttl"],
  start: async (context) => {
    const { client, informers } = context;
    const queue = makeQueue(context);
    const nodes = informers.informer(core.nodes);
    let step = 0;
    const count = () => {
      const next = ttlStep(nodes.list().length, step);
      if (next === step) return;
      step = next;
      for (const { metadata } of nodes.list()) queue.add(metadata.name ?? "");
    };
    nodes.subscribe({
      added: ({ metadata }) => {
        count();
        queue.add(metadata.name ?? "");
      },
      updated: (_old, { metadata }) => {
        if (metadata.annotations?.[TTL_ANNOTATION] !== String(ttlSeconds(step))) queue.add(metadata.name ?? "");
      },
      deleted: count,
    });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const node = nodes.get({ namespace: "", name });
      const ttl = String(ttlSeconds(step));
      if (node === undefined || node.metadata.annotations?.[TTL_ANNOTATION] === ttl) return done;
      const body = { metadata: { annotations: { [TTL_ANNOTATION]: ttl } } };
      try {
        await client.patch(core.nodes, { namespace: "", name }, { type: "strategic", body }, { signal });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 5, needs: needs(nodes), reconcile }, signal);
  },
};
