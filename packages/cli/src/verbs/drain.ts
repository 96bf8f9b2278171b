/** `knarr drain`: cordons a node and evicts its pods, waiting for disruption budgets and for the pods to go. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { controllerOf, keyOf } from "@knarr/apimachinery/object.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { discover } from "../discovery.ts";
import { duration, integer } from "../flags.ts";
import { addDryRunFlag, type DryRun, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";
import { findNodes, setUnschedulable } from "./cordon.ts";

interface DrainOptions extends GlobalOptions {
  readonly selector?: string;
  readonly podSelector?: string;
  readonly force?: boolean;
  readonly ignoreDaemonsets?: boolean;
  readonly deleteEmptydirData?: boolean;
  readonly disableEviction?: boolean;
  readonly gracePeriod: string;
  readonly timeout: string;
  readonly skipWaitForDeleteTimeout: string;
  readonly dryRun?: string;
}

const RETRY_MS = 5000;
const POLL_MS = 1000;

export const drain: Verb = {
  name: "drain",
  register(program, context) {
    const command = program
      .command("drain")
      .description("Drain node in preparation for maintenance")
      .argument("[node...]", "the nodes")
      .option("-l, --selector <query>", "nodes by label")
      .option("--pod-selector <query>", "only pods with these labels")
      .option("--force", "go on although there are pods that no controller will replace")
      .option("--ignore-daemonsets", "leave the pods of DaemonSets alone")
      .option("--delete-emptydir-data", "go on although pods use emptyDir: their data is lost")
      .option("--disable-eviction", "delete the pods, past disruption budgets")
      .option("--grace-period <seconds>", "seconds for each pod to end; negative leaves it to the pod", integer, "-1")
      .option("--timeout <duration>", "how long to try, 0s for as long as it takes", duration, "0s")
      .option("--skip-wait-for-delete-timeout <seconds>", "don't wait for pods deleted longer ago than this", "0")
      .option("--chunk-size <n>", "objects per request", integer, "500");
    addDryRunFlag(command).action((words: string[], _options: unknown, self: Command) =>
      runDrain(words, self.optsWithGlobals<DrainOptions>(), context),
    );
  },
};

async function runDrain(words: string[], options: DrainOptions, context: CliContext): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  const connection = await connect(options, context);
  const nodes = await findNodes(words, options, connection, context, "drain");
  const printer = new ResultPrinter(options, context);
  for (const node of nodes) await setUnschedulable(node, true, dryRun, connection, printer, context.signal);
  for (const node of nodes) {
    await drainNode(node, options, dryRun, connection, context);
    printer.print(node, "drained");
  }
}

async function drainNode(
  node: Node,
  options: DrainOptions,
  dryRun: DryRun,
  connection: Connection,
  context: CliContext,
): Promise<void> {
  const { client } = connection;
  const { items } = await client.list(core.pods, {
    fieldSelector: `spec.nodeName=${node.metadata.name}`,
    labelSelector: options.podSelector,
    signal: context.signal,
  });
  const { pods, warnings, errors } = await sortPods(items, options, connection, context.signal);
  if (errors.length > 0) {
    throw new CliError(
      `unable to drain node "${node.metadata.name}" due to error: ${errors.join(", ")}, continuing command...\n` +
        `There are pending nodes to be drained:\n ${node.metadata.name}\n${errors.join("\n")}`,
    );
  }
  if (warnings.length > 0) context.stderr.write(`Warning: ${warnings.join("; ")}\n`);
  const timeoutMs = parseGoDurationMs(options.timeout);
  const deadlineMs = timeoutMs <= 0 ? Number.POSITIVE_INFINITY : systemClock.monotonicMs() + timeoutMs;
  const evicts = options.disableEviction !== true && (await hasEviction(connection, context.signal));
  await Promise.all(pods.map((pod) => removePod(pod, { evicts, dryRun, deadlineMs }, options, connection, context)));
}

/** What keeps pods from being drained. Source: kubectl/pkg/drain/filters.go */
async function sortPods(pods: readonly Pod[], options: DrainOptions, connection: Connection, signal: AbortSignal) {
  const reasons = new Map<string, string[]>();
  const warned = new Map<string, string[]>();
  const note = (map: Map<string, string[]>, why: string, pod: Pod) =>
    map.set(why, [...(map.get(why) ?? []), `${pod.metadata.namespace}/${pod.metadata.name}`]);
  const removed: Pod[] = [];
  for (const pod of pods) {
    if (pod.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) continue;
    const owner = controllerOf(pod);
    const finished = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    if (owner?.kind === "DaemonSet" && !finished && (await daemonSetExists(owner.name, pod, connection, signal))) {
      if (options.ignoreDaemonsets === true) note(warned, "ignoring DaemonSet-managed Pods", pod);
      else note(reasons, "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", pod);
      continue;
    }
    const local = pod.spec?.volumes?.some((v) => v.emptyDir !== undefined) === true;
    if (local && !finished) {
      if (options.deleteEmptydirData !== true) {
        note(reasons, "cannot delete Pods with local storage (use --delete-emptydir-data to override)", pod);
        continue;
      }
    }
    if (owner === undefined && !finished) {
      if (options.force !== true) {
        note(reasons, "cannot delete Pods that declare no controller (use --force to override)", pod);
        continue;
      }
      note(warned, "deleting Pods that declare no controller", pod);
    }
    removed.push(pod);
  }
  const shown = (map: Map<string, string[]>) => [...map].map(([why, names]) => `${why}: ${names.join(", ")}`);
  return { pods: removed, errors: shown(reasons), warnings: shown(warned) };
}

async function daemonSetExists(name: string, pod: Pod, { client }: Connection, signal: AbortSignal): Promise<boolean> {
  const resource = { group: "apps", version: "v1", resource: "daemonsets", kind: "DaemonSet", namespaced: true };
  try {
    await client.get(resource, { namespace: pod.metadata.namespace ?? "", name }, { signal });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function hasEviction({ client }: Connection, signal: AbortSignal): Promise<boolean> {
  const { resources } = await discover(client, signal);
  const pods = resources.find((r) => r.group === "" && r.resource === "pods");
  return pods?.subresources.includes("eviction") === true;
}

interface Removal {
  readonly evicts: boolean;
  readonly dryRun: DryRun;
  readonly deadlineMs: number;
}

async function removePod(
  pod: Pod,
  { evicts, dryRun, deadlineMs }: Removal,
  options: DrainOptions,
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  const key = keyOf(pod);
  const shown = `${key.namespace}/${key.name}`;
  const suffix = dryRun === "none" ? "" : dryRun === "client" ? " (dry run)" : " (server dry run)";
  context.stdout.write(`${evicts ? "evicting" : "deleting"} pod ${shown}${suffix}\n`);
  if (dryRun === "client") return;
  const seconds = Number(options.gracePeriod);
  const deleteOptions = seconds >= 0 ? { gracePeriodSeconds: seconds } : {};
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { ...key }, deleteOptions };
  const settings = { dryRun: dryRun === "server", signal: context.signal };
  for (;;) {
    try {
      if (evicts) await client.createSubresource(core.pods, key, "eviction", body, settings);
      else await client.delete(core.pods, key, { ...deleteOptions, ...settings });
      break;
    } catch (error) {
      if (isNotFound(error)) return;
      // 429: a disruption budget doesn't allow it now.
      if (!(error instanceof StatusError) || error.code !== 429) throw error;
      context.stderr.write(
        `error when evicting pods/${JSON.stringify(key.name)} -n ${JSON.stringify(key.namespace)} (will retry after 5s): ${error.message}\n`,
      );
    }
    if (systemClock.monotonicMs() > deadlineMs) throw new CliError(timedOut(shown, evicts));
    await systemClock.sleep(RETRY_MS, context.signal);
  }
  if (dryRun === "none") await untilGone(pod, deadlineMs, evicts, { client } as Connection, context);
}

const timedOut = (pod: string, evicts: boolean) =>
  `error when ${evicts ? "evicting" : "deleting"} pod ${JSON.stringify(pod)}: global timeout reached`;

async function untilGone(
  pod: Pod,
  deadlineMs: number,
  evicts: boolean,
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  const key = keyOf(pod);
  for (;;) {
    try {
      const now = await client.get(core.pods, key, { signal: context.signal });
      if (now.metadata.uid !== pod.metadata.uid) return;
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    if (systemClock.monotonicMs() > deadlineMs) throw new CliError(timedOut(`${key.namespace}/${key.name}`, evicts));
    await systemClock.sleep(POLL_MS, context.signal);
  }
}
