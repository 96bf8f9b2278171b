/** `knarr rollout status|history|undo|restart|pause|resume` of Deployments, StatefulSets and DaemonSets. */
import type { DaemonSet, Deployment, StatefulSet } from "@knarr/api/generated/types/apps-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import {
  daemonSetRolloutStatus,
  deploymentRolloutStatus,
  type RolloutStatus,
  statefulSetRolloutStatus,
} from "../core/rollout-status.ts";
import { renderTable } from "../core/table.ts";
import { renderTemplate } from "../describe/pod.ts";
import { type FoundObject, findObjects, forEachFound, getObject } from "../find-objects.ts";
import { addFileFlags, duration, integer, onByDefault, type SelectOptions } from "../flags.ts";
import { LAST_APPLIED } from "../last-applied.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, printerOf, ResultPrinter } from "../print.ts";
import { type Revision, revisionsOf, type Workload } from "../rollout-history.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface RolloutOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly timeout?: string;
  readonly watch?: boolean;
  readonly revision?: string;
  readonly toRevision?: string;
  readonly dryRun?: string;
}
interface Target extends FoundObject {
  readonly workload: Workload;
  readonly connection: Connection;
  readonly options: RolloutOptions;
  readonly context: CliContext;
  readonly printer: ResultPrinter;
}
const POLL_MS = 500;

const actions: readonly { name: string; does: string; run: (target: Target) => Promise<void> }[] = [
  { name: "history", does: "View rollout history", run: history },
  { name: "pause", does: "Mark the provided resource as paused", run: (t) => setPaused(t, true) },
  { name: "restart", does: "Restart a resource", run: restart },
  { name: "resume", does: "Resume a paused resource", run: (t) => setPaused(t, false) },
  { name: "status", does: "Show the status of the rollout", run: status },
  { name: "undo", does: "Undo a previous rollout", run: undo },
];

export const rollout: Verb = {
  name: "rollout",
  register(program, context) {
    const parent = program.command("rollout").description("Manage the rollout of one or many resources");
    for (const action of actions) {
      const command = parent
        .command(action.name)
        .description(action.does)
        .argument("[type|type/name...]", "deployment/NAME, statefulset NAME, ...")
        .option("-l, --selector <query>", "label selector")
        .option("--field-manager <name>", "who owns the changed fields", "kubectl-rollout");
      if (action.name === "status") {
        command.option("--timeout <duration>", "how long to wait, 0s for as long as it takes", duration, "0s");
        onByDefault(command, "watch", "wait until the rollout is done");
        command.option("--revision <n>", "fail when another revision rolls out", integer, "0");
      }
      if (action.name === "history") command.option("--revision <n>", "show this revision in full", integer, "0");
      if (action.name === "undo")
        command.option("--to-revision <n>", "the revision, 0 for the one before", integer, "0");
      addFileFlags(command);
      addPrintFlags(addDryRunFlag(command)).action((words: string[], _options: unknown, self: Command) =>
        forEachWorkload(words, self.optsWithGlobals<RolloutOptions>(), context, action),
      );
    }
  },
};

async function forEachWorkload(
  words: string[],
  options: RolloutOptions,
  context: CliContext,
  { name, run }: (typeof actions)[number],
): Promise<void> {
  if (words.length === 0 && options.filename === undefined && options.kustomize === undefined) {
    throw new CliError("required resource not specified");
  }
  parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const all = words.length === 1 && words[0]?.includes("/") !== true;
  const found = await findObjects(words, { ...options, ...(all ? { all: true } : {}) }, connection, context);
  await forEachFound(found, context, async (item) => {
    const { group, kind } = item.resource;
    if (group !== "apps" || !["Deployment", "StatefulSet", "DaemonSet"].includes(kind)) {
      throw new CliError(notImplemented(name, item.resource, item.key.name));
    }
    await run({ ...item, workload: item.object as Workload, connection, options, context, printer });
  });
}

/** What kubectl says of kinds that don't roll out, by action. */
function notImplemented(action: string, { group, kind, resource }: FoundObject["resource"], name: string): string {
  const full = `${resource}${group === "" ? "" : `.${group}`}`;
  const doing = { pause: "pausing", resume: "resuming", restart: "restarting" }[action];
  if (doing !== undefined) return `${full} ${JSON.stringify(name)} ${doing} is not supported`;
  if (action === "status") return `no status viewer has been implemented for ${kind}`;
  const what = action === "history" ? "history" : "rollbacker";
  return `error retrieving ${what} for "${kind}${group === "" ? "" : `.${group}`}", no visitor method exists for {${group} ${kind}}`;
}

function statusOf(workload: Workload): RolloutStatus {
  if (workload.kind === "Deployment") return deploymentRolloutStatus(workload as Deployment);
  if (workload.kind === "StatefulSet") return statefulSetRolloutStatus(workload as StatefulSet);
  return daemonSetRolloutStatus(workload as DaemonSet);
}

async function status({ resource, key, connection, options, context }: Target): Promise<void> {
  const timeoutMs = parseGoDurationMs(options.timeout ?? "0s");
  const deadlineMs = timeoutMs <= 0 ? Number.POSITIVE_INFINITY : systemClock.monotonicMs() + timeoutMs;
  let last = "";
  for (;;) {
    const workload = (await getObject(connection, resource, key, context.signal)) as Workload;
    const state = statusOf(workload);
    if (state.kind === "failed") throw new CliError(state.message);
    if (state.message !== last) context.stdout.write(`${state.message}\n`);
    last = state.message;
    if (state.kind === "done" || options.watch === false) return;
    if (systemClock.monotonicMs() > deadlineMs) throw new CliError("timed out waiting for the condition");
    await systemClock.sleep(POLL_MS, context.signal);
  }
}

async function history({ workload, resource, key, connection, options, context }: Target): Promise<void> {
  const revisions = await revisionsOf(workload, connection, context.signal);
  const wanted = Number(options.revision ?? "0");
  const printer = printerOf(options);
  const shown = `${resource.singular}.${resource.group}/${key.name}`;
  if (wanted > 0) {
    const found = revisions.find((r) => r.number === wanted);
    if (found === undefined) throw new CliError("unable to find the specified revision");
    if (printer !== undefined) context.stdout.write(printer.render(restored(workload, found)));
    else context.stdout.write(`${shown} with revision #${wanted}\n${renderTemplate(found.template)}\n`);
    return;
  }
  if (printer !== undefined) {
    for (const revision of revisions) context.stdout.write(printer.render(restored(workload, revision)));
    return;
  }
  if (revisions.length === 0) {
    context.stdout.write(`${shown} \nNo rollout history found.\n`);
    return;
  }
  const rows = revisions.map((r) => [String(r.number), r.changeCause ?? "<none>"]);
  context.stdout.write(`${shown} \n${renderTable(rows, { headings: ["REVISION", "CHANGE-CAUSE"] })}\n`);
}

function restored(workload: Workload, revision: Revision): KubeObject {
  return { ...workload, spec: { ...workload.spec, template: revision.template } } as unknown as KubeObject;
}

async function undo(target: Target): Promise<void> {
  const { workload, resource, key, connection, options, context, printer } = target;
  if (workload.kind === "Deployment" && (workload as Deployment).spec?.paused === true) {
    throw new CliError(`cannot undo a paused deployment; resume it first with 'knarr rollout resume' and try again`);
  }
  if (workload.metadata.annotations?.[LAST_APPLIED] !== undefined) {
    context.stderr.write(
      `Warning: resource ${resource.resource}/${key.name} was previously managed with 'knarr apply'. Rolling back will not update the ${LAST_APPLIED} annotation, which may cause unexpected behavior on future 'knarr apply' operations. Consider using 'knarr apply' with your previous configuration file instead.\n`,
    );
  }
  const revisions = await revisionsOf(workload, connection, context.signal);
  const wanted = Number(options.toRevision ?? "0");
  const found = wanted === 0 ? revisions.at(-2) : revisions.find((r) => r.number === wanted);
  if (found === undefined) {
    throw new CliError(
      wanted === 0
        ? `no rollout history found for ${resource.singular} "${key.name}"`
        : `unable to find specified revision ${wanted} in history`,
    );
  }
  const dryRun = parseDryRun(options.dryRun);
  if (dryRun === "client") {
    context.stdout.write(
      `${resource.singular}.${resource.group}/${key.name} ${renderTemplate(found.template)} (dry run)\n`,
    );
    return;
  }
  if (sameTemplate(workload, found)) {
    printer.print(workload, `skipped rollback (current template already matches revision ${found.number})`);
    return;
  }
  const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-rollout", signal: context.signal };
  if (found.patch === undefined) {
    // Replacing the whole template takes back fields that only the newer revision has.
    const body = [
      { op: "test", path: "/metadata/uid", value: workload.metadata.uid },
      { op: "replace", path: "/spec/template", value: found.template },
    ];
    await connection.client.patch(resource, key, { type: "json", body }, settings);
  } else await connection.client.patch(resource, key, { type: "strategic", body: found.patch }, settings);
  printer.print(workload, "rolled back");
}

function sameTemplate(workload: Workload, { template }: Revision): boolean {
  const text = (value: unknown) => JSON.stringify(value, (_key, inner: unknown) => sorted(inner));
  return text(workload.spec?.template) === text(template);
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function restart(target: Target): Promise<void> {
  const { workload } = target;
  if (workload.kind === "Deployment" && (workload as Deployment).spec?.paused === true) {
    throw new CliError("can't restart paused deployment (run rollout resume first)");
  }
  const annotations = {
    "kubectl.kubernetes.io/restartedAt": new Date(systemClock.now()).toISOString().replace(/\.\d+/, ""),
  };
  await patchWorkload(target, { spec: { template: { metadata: { annotations } } } }, "restarted");
}

async function setPaused(target: Target, paused: boolean): Promise<void> {
  const { workload, resource } = target;
  const verb = paused ? "pausing" : "resuming";
  if (workload.kind !== "Deployment") {
    throw new CliError(
      `${resource.resource}.${resource.group} ${JSON.stringify(target.key.name)} ${verb} is not supported`,
    );
  }
  if (((workload as Deployment).spec?.paused === true) === paused) {
    throw new CliError(
      `deployments.apps ${JSON.stringify(target.key.name)} is ${paused ? "already paused" : "not paused"}`,
    );
  }
  await patchWorkload(target, { spec: { paused: paused ? true : null } }, paused ? "paused" : "resumed");
}

async function patchWorkload(
  { workload, resource, key, connection, context, options, printer }: Target,
  body: object,
  did: string,
): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  if (dryRun !== "client") {
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-rollout", signal: context.signal };
    await connection.client.patch(resource, key, { type: "strategic", body }, settings);
  }
  printer.print(workload, did);
}
