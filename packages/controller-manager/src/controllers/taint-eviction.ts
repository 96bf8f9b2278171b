/**
 * Deletes pods that don't tolerate their node's NoExecute taints, at once or when their tolerationSeconds are over.
 * Inputs: Pods, Nodes, the clock. Writes: Pod status (DisruptionTarget), Pods (deletion), Events.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { sameJson } from "../core/canonical-json.ts";
import { isPodTerminal } from "../core/pod-state.ts";
import { planEviction } from "../core/taint-eviction-plan.ts";
import { podNodeIndexer, podsOnNode } from "./pods-on-node.ts";

const WORKERS = 8;

export const taintEvictionController: Controller = {
  name: "taint-eviction-controller",
  serviceAccount: "node-controller",
  start: async (context) => startTaintEviction(context),
};

function startTaintEviction(context: ControllerContext): (signal: AbortSignal) => Promise<void> {
  const { informers, clock } = context;
  const queue = makeQueue(context);
  const recorder = makeRecorder(context);
  const nodes = informers.informer(core.nodes);
  const pods = informers.informer(core.pods, { indexers: podNodeIndexer });
  /** Pod uid -> since when (epoch ms) its eviction has been scheduled. */
  const scheduled = new Map<string, number>();
  const enqueue = (pod: Pod) => queue.add(keyString(keyOf(pod)));
  const enqueueNode = ({ metadata }: Node) => podsOnNode(pods, metadata.name ?? "").forEach(enqueue);
  const isTainted = ({ spec }: Node) => (spec?.taints ?? []).some(({ effect }) => effect === "NoExecute");
  nodes.subscribe({
    added: (node) => {
      if (isTainted(node)) enqueueNode(node);
    },
    updated: (old, node) => {
      if (!sameJson(old.spec?.taints, node.spec?.taints)) enqueueNode(node);
    },
  });
  pods.subscribe({
    added: enqueue,
    updated: (old, pod) => {
      const view = ({ spec }: Pod) => [spec?.nodeName, spec?.tolerations];
      if (!sameJson(view(old), view(pod))) enqueue(pod);
    },
    deleted: ({ metadata }) => {
      scheduled.delete(metadata.uid ?? "");
    },
  });

  const reconcile = async (key: string, signal: AbortSignal): Promise<Result> => {
    const pod = pods.get(parseKeyString(key));
    if (pod === undefined || (pod.spec?.nodeName ?? "") === "" || isPodTerminal(pod)) return done;
    if (pod.metadata.deletionTimestamp !== undefined) return done;
    const uid = pod.metadata.uid ?? "";
    const node = nodes.get({ namespace: "", name: pod.spec?.nodeName ?? "" });
    const nowMs = clock.now();
    const plan = planEviction(pod, node?.spec?.taints ?? [], scheduled.get(uid) ?? nowMs);
    if (plan.kind === "stay") {
      if (scheduled.delete(uid)) {
        recorder.event(pod, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${key}`);
      }
      return done;
    }
    if (!scheduled.has(uid)) scheduled.set(uid, nowMs);
    if (plan.atMs > nowMs) return after(plan.atMs - nowMs);
    recorder.event(pod, "Normal", "TaintManagerEviction", `Marking for deletion Pod ${key}`);
    await evict(context, pod, signal);
    scheduled.delete(uid);
    return done;
  };
  return (signal) => runLoop(context, { queue, workers: WORKERS, needs: needs(nodes, pods), reconcile }, signal);
}

async function evict({ client, clock, log }: ControllerContext, pod: Pod, signal: AbortSignal): Promise<void> {
  const { uid } = pod.metadata;
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "DeletionByTaintManager",
    message: "Taint manager: deleting due to NoExecute taint",
    lastTransitionTime: rfc3339Seconds(clock.now()),
  };
  const body = { metadata: { uid }, status: { conditions: [condition] } };
  try {
    await client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { subresource: "status", signal });
    await client.delete(core.pods, keyOf(pod), { preconditions: { uid }, signal });
    log.info({ pod: keyString(keyOf(pod)), node: pod.spec?.nodeName }, "pod evicted from tainted node");
  } catch (error) {
    // Gone, or replaced by another of its name.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
