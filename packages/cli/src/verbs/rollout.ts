/** `knarr rollout status|history|undo|restart|pause|resume`: the rollout of Deployments. */

import { apps } from "@knarr/api/generated/resources.ts";
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { controllerOf } from "@knarr/apimachinery/object.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { deploymentRolloutStatus } from "../core/rollout-status.ts";
import { parseSelection } from "../core/selection.ts";
import { renderTable } from "../core/table.ts";
import { discover } from "../discovery.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface RolloutOptions extends GlobalOptions {
  readonly timeout?: string;
  readonly watch?: string | boolean;
  readonly toRevision?: string;
}
interface Target {
  readonly connection: Connection;
  readonly key: ObjectKey;
  readonly options: RolloutOptions;
  readonly context: CliContext;
}
const REVISION = "deployment.kubernetes.io/revision";
const POLL_MS = 500;

const actions: readonly { name: string; does: string; run: (target: Target) => Promise<void> }[] = [
  { name: "status", does: "Show the status of the rollout", run: status },
  { name: "history", does: "View rollout history", run: history },
  { name: "undo", does: "Undo a previous rollout", run: undo },
  { name: "restart", does: "Restart a resource", run: restart },
  { name: "pause", does: "Mark the provided resource as paused", run: (t) => setPaused(t, true) },
  { name: "resume", does: "Resume a paused resource", run: (t) => setPaused(t, false) },
];

export const rollout: Verb = {
  name: "rollout",
  register(program, context) {
    const parent = program.command("rollout").description("Manage the rollout of a resource");
    for (const action of actions) {
      const command = parent
        .command(action.name)
        .description(action.does)
        .argument("<type|type/name...>", "deployment/NAME or deployment NAME");
      if (action.name === "status") {
        command.option("--timeout <duration>", "how long to wait, 0s for as long as it takes", "0s");
        command.option("-w, --watch [bool]", "wait until the rollout is done", "true");
      }
      if (action.name === "undo") command.option("--to-revision <n>", "the revision, 0 for the one before", "0");
      command.action((words: string[], _options: unknown, self: Command) =>
        forEachDeployment(words, self.optsWithGlobals<RolloutOptions>(), context, action.run),
      );
    }
  },
};

async function forEachDeployment(
  words: string[],
  options: RolloutOptions,
  context: CliContext,
  run: (target: Target) => Promise<void>,
): Promise<void> {
  const connection = await connect(options, context);
  const selections = parseSelection(words, await discover(connection.client, context.signal));
  for (const { resource, name } of selections) {
    if (resource.group !== "apps" || resource.resource !== "deployments") {
      throw new CliError(`no rollout is known for ${resource.resource}: must be deployments.apps`);
    }
    if (name === undefined) throw new CliError("required resource not specified");
    await run({ connection, key: { namespace: connection.namespace, name }, options, context });
  }
}

async function status({ connection, key, options, context }: Target): Promise<void> {
  const timeoutMs = parseGoDurationMs(options.timeout ?? "0s");
  const deadlineMs = timeoutMs <= 0 ? Number.POSITIVE_INFINITY : systemClock.monotonicMs() + timeoutMs;
  let last = "";
  for (;;) {
    const deployment = await connection.client.get(apps.deployments, key, { signal: context.signal });
    const state = deploymentRolloutStatus(deployment);
    if (state.kind === "failed") throw new CliError(state.message);
    if (state.message !== last) context.stdout.write(`${state.message}\n`);
    last = state.message;
    if (state.kind === "done" || String(options.watch) === "false") return;
    if (systemClock.monotonicMs() > deadlineMs) throw new CliError("timed out waiting for the condition");
    await systemClock.sleep(POLL_MS, context.signal);
  }
}

/** The Deployment's ReplicaSets by revision, oldest first. */
async function revisionsOf({
  connection,
  key,
  context,
}: Target): Promise<{ deployment: Deployment; sets: ReplicaSet[] }> {
  const deployment = await connection.client.get(apps.deployments, key, { signal: context.signal });
  const { items } = await connection.client.list(apps.replicasets, {
    namespace: key.namespace,
    labelSelector: formatLabelSelector(deployment.spec?.selector),
    signal: context.signal,
  });
  const sets = items.filter((set) => controllerOf(set)?.uid === deployment.metadata.uid);
  return { deployment, sets: sets.sort((a, b) => revisionOf(a) - revisionOf(b)) };
}

const revisionOf = (set: ReplicaSet) => Number(set.metadata.annotations?.[REVISION] ?? "0");

async function history(target: Target): Promise<void> {
  const { sets } = await revisionsOf(target);
  const rows = sets.map((set) => [
    String(revisionOf(set)),
    set.metadata.annotations?.["kubernetes.io/change-cause"] ?? "<none>",
  ]);
  target.context.stdout.write(`deployment.apps/${target.key.name} \n`);
  target.context.stdout.write(`${renderTable(rows, { headings: ["REVISION", "CHANGE-CAUSE"] })}\n`);
}

async function undo(target: Target): Promise<void> {
  const { deployment, sets } = await revisionsOf(target);
  if (deployment.spec?.paused === true) {
    throw new CliError(
      `you cannot rollback a paused deployment; resume it first with 'knarr rollout resume' and try again`,
    );
  }
  const wanted = Number(target.options.toRevision ?? "0");
  const previous = wanted === 0 ? sets.at(-2) : sets.find((set) => revisionOf(set) === wanted);
  if (previous === undefined) {
    const what = wanted === 0 ? "no rollout history found" : `unable to find specified revision ${wanted} in history`;
    throw new CliError(`${what} for deployment "${target.key.name}"`);
  }
  const template = structuredClone(previous.spec?.template);
  delete template?.metadata?.labels?.["pod-template-hash"];
  // Replacing the whole template takes back fields that only the newer revision has.
  const body = [
    { op: "test", path: "/metadata/uid", value: deployment.metadata.uid },
    { op: "replace", path: "/spec/template", value: template },
  ];
  const { client } = target.connection;
  await client.patch(
    apps.deployments,
    target.key,
    { type: "json", body },
    { fieldManager: "knarr-rollout", signal: target.context.signal },
  );
  target.context.stdout.write(`deployment.apps/${target.key.name} rolled back\n`);
}

async function restart(target: Target): Promise<void> {
  const annotations = {
    "kubectl.kubernetes.io/restartedAt": new Date(systemClock.now()).toISOString().replace(/\.\d+/, ""),
  };
  await patchDeployment(target, { spec: { template: { metadata: { annotations } } } });
  target.context.stdout.write(`deployment.apps/${target.key.name} restarted\n`);
}

async function setPaused(target: Target, paused: boolean): Promise<void> {
  await patchDeployment(target, { spec: { paused } });
  target.context.stdout.write(`deployment.apps/${target.key.name} ${paused ? "paused" : "resumed"}\n`);
}

async function patchDeployment({ connection, key, context }: Target, body: object): Promise<void> {
  const options = { fieldManager: "knarr-rollout", signal: context.signal };
  await connection.client.patch(apps.deployments, key, { type: "strategic", body }, options);
}
