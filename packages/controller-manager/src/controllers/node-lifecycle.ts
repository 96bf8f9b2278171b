/**
 * Nodes that fall silent: their conditions, their taints, and the readiness of their pods.
 * Inputs: Nodes, Leases of kube-node-lease, Pods, the clock. Writes: Node status and taints, Pod status, Events.
 *
 * One pass judges all nodes; it runs every --node-monitor-period and shortly after a node's conditions changed.
 */
import { coordination, core } from "@knarr/api/generated/resources.ts";
import type { Lease } from "@knarr/api/generated/types/coordination-v1.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { after, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import { sameJson } from "../core/canonical-json.ts";
import {
  conditionOf,
  evictionRates,
  evictionTaint,
  hasEvictionTaint,
  judgeNode,
  type NodeHealth,
  planLabels,
  planTaints,
  zoneOf,
} from "../core/node-health-plan.ts";
import { podCondition } from "../core/pod-state.ts";
import { podNodeIndexer, podsOnNode } from "./pods-on-node.ts";

/** Changes of several nodes become one pass. */
const BATCH_MS = 50;
const PARALLEL_WRITES = 20;
const PASS = "all nodes";

export const nodeLifecycleController: Controller = {
  name: "node-lifecycle-controller",
  aliases: ["nodelifecycle"],
  serviceAccount: "node-controller",
  start: async (context) => {
    const controller = new NodeLifecycle(context);
    return (signal) => controller.run(signal);
  },
};

/** One node may be emptied at once, then `rate` more per second. */
interface Bucket {
  tokens: number;
  atMs: number;
}

class NodeLifecycle {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #recorder: EventRecorder;
  readonly #health = new Map<string, NodeHealth>();
  readonly #buckets = new Map<string, Bucket>();
  #allDown = false;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#nodes = context.informers.informer(core.nodes);
    this.#leases = context.informers.informer(coordination.leases, { namespace: "kube-node-lease" });
    this.#pods = context.informers.informer(core.pods, { indexers: podNodeIndexer });
    this.#queue = makeQueue(context);
    this.#recorder = makeRecorder(context, "node-controller");
    this.#nodes.subscribe({
      added: (node) => {
        this.#tell(node, "RegisteredNode", `Registered Node ${node.metadata.name} in Controller`);
        this.#queue.addAfter(PASS, BATCH_MS);
      },
      updated: (old, node) => {
        if (!sameJson(viewOf(old), viewOf(node))) this.#queue.addAfter(PASS, BATCH_MS);
      },
      deleted: (node) => {
        this.#tell(node, "RemovingNode", `Removing Node ${node.metadata.name} from Controller`);
        this.#health.delete(node.metadata.uid ?? "");
      },
    });
    this.#queue.add(PASS);
  }

  run(signal: AbortSignal): Promise<void> {
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: 1,
        needs: needs(this.#nodes, this.#leases, this.#pods),
        reconcile: (_key, abort) => this.#pass(abort),
      },
      signal,
    );
  }

  #tell(node: Node, reason: string, text: string): void {
    this.#recorder.event(aboutNode(node), "Normal", reason, `Node ${node.metadata.name} event: ${text}`);
  }

  async #pass(signal: AbortSignal): Promise<Result> {
    const { config } = this.#context;
    const nodes: Node[] = [];
    for (const node of this.#nodes.list()) nodes.push(await this.#judge(node, signal));
    const rates = evictionRates(
      nodes.map((node) => ({ zone: zoneOf(node), ready: conditionOf(node, "Ready")?.status === "True" })),
      config,
    );
    this.#noteDisruption(rates === "never");
    for (const node of nodes) {
      await this.#label(node, signal);
      const evict = rates === "never" ? "never" : this.#mayEvict(node, rates.get(zoneOf(node)) ?? 0);
      await this.#taint(node, evict, signal);
    }
    const silent = nodes.filter((node) => (conditionOf(node, "Ready")?.status ?? "Unknown") !== "True");
    await this.#markPods(silent, signal);
    return after(config.nodeMonitorPeriodMs);
  }

  /** The node with its conditions as they are after judging. */
  async #judge(node: Node, signal: AbortSignal): Promise<Node> {
    const { clock, config, client, log } = this.#context;
    const uid = node.metadata.uid ?? "";
    const judgement = judgeNode({
      node,
      lease: this.#leases.get({ namespace: "kube-node-lease", name: node.metadata.name ?? "" }),
      health: this.#health.get(uid),
      nowMs: clock.now(),
      monotonicMs: clock.monotonicMs(),
      gracePeriodMs: config.nodeMonitorGracePeriodMs,
      startupGracePeriodMs: config.nodeStartupGracePeriodMs,
    });
    this.#health.set(uid, judgement.health);
    if (judgement.conditions === undefined) return node;
    log.warn({ node: node.metadata.name }, "node is silent, its conditions become Unknown");
    const status = { ...node.status, conditions: [...judgement.conditions] };
    try {
      const updated = await client.update(core.nodes, { ...node, status }, { subresource: "status", signal });
      const name = node.metadata.name;
      this.#recorder.event(aboutNode(node), "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
      return { ...updated, apiVersion: "v1", kind: "Node" };
    } catch (error) {
      // Changed or gone meanwhile: perhaps it lives. The next pass, soon, looks at what it has become.
      if (!isConflict(error) && !isNotFound(error)) throw error;
      this.#queue.addAfter(PASS, BATCH_MS);
      return node;
    }
  }

  /** After a time in which everything seemed down, every node gets its grace period again. */
  #noteDisruption(allDown: boolean): void {
    if (this.#allDown && !allDown) this.#health.clear();
    if (this.#allDown !== allDown) this.#context.log.warn({ allDown }, "every zone fully disrupted changed");
    this.#allDown = allDown;
  }

  #mayEvict(node: Node, rate: number): boolean {
    if (evictionTaint(node) === undefined || hasEvictionTaint(node)) return false;
    const nowMs = this.#context.clock.monotonicMs();
    const zone = zoneOf(node);
    const bucket = this.#buckets.get(zone) ?? { tokens: 1, atMs: nowMs };
    bucket.tokens = Math.min(1, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * rate);
    bucket.atMs = nowMs;
    this.#buckets.set(zone, bucket);
    if (rate === 0 || bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  async #label(node: Node, signal: AbortSignal): Promise<void> {
    const labels = planLabels(node.metadata.labels);
    if (labels === undefined) return;
    const body = { metadata: { uid: node.metadata.uid, labels } };
    try {
      await this.#context.client.patch(core.nodes, keyOf(node), { type: "strategic", body }, { signal });
    } catch (error) {
      // Gone, or another of its name.
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  async #taint(node: Node, evict: boolean | "never", signal: AbortSignal): Promise<void> {
    const { client, clock, log } = this.#context;
    const taints = planTaints(node, evict, clock.now());
    if (taints === undefined) return;
    const { resourceVersion, uid } = node.metadata;
    // A merge patch replaces the whole list; the version makes sure that it is the list that was looked at.
    const body = { metadata: { uid, resourceVersion }, spec: { taints: taints.length === 0 ? null : taints } };
    try {
      await client.patch(core.nodes, keyOf(node), { type: "merge", body }, { signal });
      log.info(
        { node: node.metadata.name, taints: taints.map(({ key, effect }) => `${key}:${effect}`) },
        "node tainted",
      );
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      this.#queue.addAfter(PASS, BATCH_MS);
    }
  }

  /** Pods that were ready before their node fell silent are not known to be ready any more. */
  async #markPods(nodes: readonly Node[], signal: AbortSignal): Promise<void> {
    const stale = nodes.flatMap((node) => {
      const since = conditionOf(node, "Ready")?.lastTransitionTime ?? "";
      return podsOnNode(this.#pods, node.metadata.name ?? "").filter((pod) => {
        const ready = podCondition(pod, "Ready");
        // A pod that became ready afterwards has a kubelet that speaks for it.
        return ready?.status === "True" && (ready.lastTransitionTime ?? "") <= since;
      });
    });
    for (let i = 0; i < stale.length; i += PARALLEL_WRITES) {
      await Promise.all(stale.slice(i, i + PARALLEL_WRITES).map((pod) => this.#markPod(pod, signal)));
    }
  }

  async #markPod(pod: Pod, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    const conditions = [{ type: "Ready", status: "False", lastTransitionTime: rfc3339Seconds(clock.now()) }];
    const body = { metadata: { uid: pod.metadata.uid }, status: { conditions } };
    try {
      await client.patch(core.pods, keyOf(pod), { type: "strategic", body }, { subresource: "status", signal });
      this.#recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready");
    } catch (error) {
      // Gone, or replaced by another of its name.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

/** What a pass looks at. Heartbeats alone are no reason for one. */
function viewOf({ metadata, spec, status }: Node): unknown {
  const conditions = (status?.conditions ?? []).map(({ type, status: value }) => [type, value]);
  return [metadata.labels, spec?.taints, spec?.unschedulable, conditions];
}

/** Events about nodes name the node as their uid, as upstream's and the kubelet's do. */
function aboutNode({ metadata }: Node): {
  apiVersion: string;
  kind: string;
  name: string | undefined;
  uid: string | undefined;
} {
  return { apiVersion: "v1", kind: "Node", name: metadata.name, uid: metadata.uid };
}
