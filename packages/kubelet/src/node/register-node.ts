/** Registers the node and keeps its status in the API true, without touching what others set on it. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, NodeCondition, NodeStatus } from "@knarr/api/generated/types/core-v1.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Informer } from "@knarr/client/informer.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Config } from "../config.ts";
import { apiTime } from "../core/container-status.ts";
import { sameJson } from "../core/status-patch.ts";
import type { EventSink } from "../pods/pod-events.ts";
import { conditionNews, nodeEvents, rebootNews } from "./node-events.ts";
import { defaultLabels, newNode, nodeStatus } from "./node-object.ts";
import type { NodeState } from "./node-state.ts";
import type { Wake } from "./wake.ts";

export interface RegisterOptions {
  readonly client: Client;
  readonly config: Config;
  readonly state: NodeState;
  readonly runtime: Runtime;
  readonly node: Informer<Node>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly port: () => number;
  /** The runtime or its network became ready, or not: pods may want to know. */
  readonly onRuntimeChange: () => void;
  readonly events: EventSink;
  /** Rings when the status is to be reported before its time. */
  readonly statusDue: Wake;
}

/** While the node is not ready it is looked at this often, so that it becomes ready as soon as it is. */
const IMPATIENT_MS = 500;

export async function runNodeStatus(options: RegisterOptions, signal: AbortSignal): Promise<void> {
  const { clock, config, log, state, statusDue } = options;
  nodeEvents(options.events, config.nodeName)("Normal", "Starting", "Starting kubelet.");
  const backoff = new Backoff({ initialMs: 200, maxMs: 7000, factor: 2 });
  let registered = !config.registerNode;
  let reportedAt = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    let waitMs = config.nodeStatusUpdateFrequencyMs;
    try {
      if (await state.refresh()) options.onRuntimeChange();
      if (!registered) registered = await register(options);
      const due = clock.monotonicMs() - reportedAt >= config.nodeStatusReportFrequencyMs;
      if (await report(options, due)) reportedAt = clock.monotonicMs();
      backoff.reset();
      if (state.problems().length > 0) waitMs = IMPATIENT_MS;
    } catch (error) {
      if (signal.aborted) break;
      // Deleted by someone: registered again, as upstream does at its next start.
      if (isNotFound(error)) registered = !config.registerNode;
      log.warn({ err: error }, "node status not reported");
      waitMs = backoff.next();
    }
    await statusDue.wait(clock, waitMs, signal);
  }
}

async function currentStatus(options: RegisterOptions, previous: NodeStatus): Promise<NodeStatus> {
  const { config, state, clock } = options;
  const images = await options.runtime.listImages().catch(() => []);
  const now = apiTime(clock.now()) ?? "";
  return nodeStatus({ config, state, images, port: options.port(), previous, now });
}

async function register(options: RegisterOptions): Promise<boolean> {
  const { client, config, log } = options;
  const key = { namespace: "", name: config.nodeName };
  const status = await currentStatus(options, {});
  try {
    const created = await client.create(core.nodes, newNode(config, status));
    log.info({ node: config.nodeName }, "node registered");
    tellNews(options, { ...created, status: {} }, status);
    return true;
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  const existing = await client.get(core.nodes, key);
  // Labels of --node-labels are for a new node only: an operator may have changed them since.
  const labels = defaultLabels(config);
  const changed = Object.entries(labels).filter(([name, value]) => existing.metadata.labels?.[name] !== value);
  if (changed.length > 0) {
    const body = { metadata: { labels: Object.fromEntries(changed) } };
    await client.patch(core.nodes, key, { type: "strategic", body });
  }
  return true;
}

/** Writes what changed of the status, or its heartbeats when it is `due`. Returns whether anything was written. */
async function report(options: RegisterOptions, due: boolean): Promise<boolean> {
  const { client, config } = options;
  const key = { namespace: "", name: config.nodeName };
  const current = options.node.get(key) ?? (await client.get(core.nodes, key));
  const wanted = await currentStatus(options, current.status ?? {});
  const patch = planNodePatch(current.status ?? {}, wanted, due);
  if (patch === undefined) return false;
  await client.patch(core.nodes, key, { type: "strategic", body: { status: patch } }, { subresource: "status" });
  tellNews(options, current, wanted);
  return true;
}

function tellNews({ config, events, state }: RegisterOptions, before: Node, after: NodeStatus): void {
  const event = nodeEvents(events, config.nodeName);
  for (const { reason, message } of conditionNews(
    config.nodeName,
    before.status?.conditions ?? [],
    after.conditions ?? [],
  ))
    event("Normal", reason, message);
  const reboot = rebootNews(before, state.machine.bootId);
  if (reboot !== undefined) event("Warning", reboot.reason, reboot.message);
}

const withoutHeartbeat = ({ lastHeartbeatTime: _, ...rest }: NodeCondition) => rest;

/** The parts of `wanted` that `current` lacks; maps and lists are merged by the server, so others' entries stay. */
export function planNodePatch(current: NodeStatus, wanted: NodeStatus, due: boolean): object | undefined {
  const patch: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(wanted) as [keyof NodeStatus, unknown][]) {
    if (field === "conditions") continue;
    if (field === "capacity" || field === "allocatable") {
      const before = current[field] ?? {};
      const entries = Object.entries(value as Record<string, string>).filter(([name, q]) => String(before[name]) !== q);
      if (entries.length > 0) patch[field] = Object.fromEntries(entries);
    } else if (field === "addresses") {
      // Merging by type would make one of the two addresses of a node of both families. Source: component-helpers PatchNodeStatus
      if (!sameJson(current.addresses, value)) patch.addresses = [{ $patch: "replace" }, ...(value as object[])];
    } else if (!sameJson(current[field], value)) patch[field] = value;
  }
  const conditions = (wanted.conditions ?? []).filter((condition) => {
    const before = current.conditions?.find((c) => c.type === condition.type);
    return due || before === undefined || !sameJson(withoutHeartbeat(before), withoutHeartbeat(condition));
  });
  if (conditions.length > 0) patch.conditions = conditions;
  return Object.keys(patch).length === 0 ? undefined : patch;
}
