/**
 * Removes pods that no kubelet will: of vanished nodes, never scheduled, ended and too many.
 * Inputs: Pods, Nodes. Writes: Pod status, Pods (forced deletion).
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, PodCondition } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { after } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { type PodRemoval, planPodGc } from "../core/pod-gc-plan.ts";
import { isPodTerminal } from "../core/pod-state.ts";

const PERIOD_MS = 20_000;

export const podGarbageCollectorController: Controller = {
  name: "pod-garbage-collector-controller",
  aliases: ["podgc"],
  serviceAccount: "pod-garbage-collector",
  start: async (context) => {
    const { client, clock, informers, config, log } = context;
    const queue = makeQueue(context);
    const pods = informers.informer(core.pods);
    const nodes = informers.informer(core.nodes);
    const missingSinceMs = new Map<string, number>();
    queue.add("all");
    const reconcile = async (_key: string, signal: AbortSignal) => {
      const nowMs = clock.now();
      const known = new Map(nodes.list().map((node): [string, Node] => [node.metadata.name ?? "", node]));
      const named = new Set(pods.list().map((pod) => pod.spec?.nodeName ?? ""));
      for (const name of missingSinceMs.keys()) if (known.has(name) || !named.has(name)) missingSinceMs.delete(name);
      for (const name of named) {
        if (name !== "" && !known.has(name) && !missingSinceMs.has(name)) missingSinceMs.set(name, nowMs);
      }
      const removals = planPodGc({
        pods: pods.list(),
        nodes: known,
        missingSinceMs,
        terminatedThreshold: config.terminatedPodGcThreshold,
        nowMs,
      });
      for (const removal of removals) {
        const node = removal.pod.spec?.nodeName ?? "";
        // The cache may be behind, and this deletion is for good.
        if (removal.why === "orphaned" && (await nodeExists(context, node, signal))) continue;
        log.info({ pod: keyOf(removal.pod), why: removal.why }, "removing pod");
        await remove(client, removal, { nowMs, signal });
      }
      return after(PERIOD_MS);
    };
    return (signal) => runLoop(context, { queue, workers: 1, needs: needs(pods, nodes), reconcile }, signal);
  },
};

async function nodeExists({ client }: ControllerContext, name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await client.get(core.nodes, { namespace: "", name }, { signal });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** Marks the pod as ended where it isn't, then deletes it without grace. */
async function remove(
  client: ControllerContext["client"],
  { pod, message, why }: PodRemoval,
  at: { nowMs: number; signal: AbortSignal },
): Promise<void> {
  const { signal } = at;
  const preconditions = { uid: pod.metadata.uid };
  try {
    if (!isPodTerminal(pod) && why !== "unscheduled-terminating") {
      const conditions: PodCondition[] = [
        {
          type: "DisruptionTarget",
          status: "True",
          reason: "DeletionByPodGC",
          message: message ?? "PodGC: deleting",
          lastTransitionTime: rfc3339Seconds(at.nowMs),
        },
      ];
      const body = {
        metadata: { uid: pod.metadata.uid },
        status: { phase: "Failed", ...(message === undefined ? {} : { conditions }) },
      };
      await client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { subresource: "status", signal });
    }
    await client.delete(core.pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions, signal });
  } catch (error) {
    // Gone, or another pod of that name.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
