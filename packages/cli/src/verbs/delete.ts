/** `knarr delete`: deletes objects by manifest, name or selector and, unless told otherwise, waits until they are gone. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { type ObjectKey, resourcePath } from "@knarr/apimachinery/resource.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { PropagationPolicy } from "@knarr/client/client.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { objectName } from "../core/output.ts";
import type { DiscoveredResource, ResourceMapper } from "../core/resource-mapper.ts";
import { parseSelection } from "../core/selection.ts";
import { discover } from "../discovery.ts";
import { describeError } from "../errors.ts";
import { NOTHING_NAMED } from "../find-objects.ts";
import { addFileFlags, duration, type FileOptions, integer, onByDefault } from "../flags.ts";
import { locate } from "../manifest-actions.ts";
import { parseDryRun } from "../print.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface DeleteOptions extends GlobalOptions, FileOptions {
  readonly dryRun?: string;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly all?: boolean;
  readonly allNamespaces?: boolean;
  readonly gracePeriod: string;
  readonly force?: boolean;
  readonly now?: boolean;
  readonly wait: boolean;
  readonly timeout: string;
  readonly cascade: string;
  readonly ignoreNotFound?: boolean;
  readonly output?: string;
}
interface Target {
  readonly resource: DiscoveredResource;
  readonly key: ObjectKey;
}

const WAIT_POLL_MS = 250;

export const deleteVerb: Verb = {
  name: "delete",
  register(program, context) {
    const command = program
      .command("delete")
      .description("Delete resources by file names, stdin, resources and names, or by resources and label selector")
      .argument("[type|type/name...]", "resource types and names")
      .option("-l, --selector <query>", "label selector")
      .option("--field-selector <query>", "field selector")
      .option("--all", "all objects of the given types in the namespace")
      .option("-A, --all-namespaces", "with --all or a selector: in every namespace")
      .option("--grace-period <seconds>", "seconds to end gracefully; negative leaves it to the object", integer, "-1")
      .option("--force", "with --grace-period=0: remove at once, without waiting for the node")
      .option("--now", "same as --grace-period=1")
      .option("--timeout <duration>", "how long to wait, 0s for as long as it takes", duration, "0s")
      .option("--cascade [policy]", "background, orphan or foreground", "background")
      .option("--ignore-not-found", "exit 0 when an object does not exist")
      .option("--dry-run <mode>", 'must be "none", "server" or "client"', "none")
      .option("-o, --output <format>", "name");
    onByDefault(addFileFlags(command), "wait", "wait until the objects are gone");
    command.action((words: string[], _options: unknown, self: Command) =>
      runDelete(words, self.optsWithGlobals<DeleteOptions>(), context),
    );
  },
};

async function runDelete(words: string[], options: DeleteOptions, context: CliContext): Promise<void> {
  const propagationPolicy = parseCascade(options.cascade);
  const dryRun = parseDryRun(options.dryRun);
  const graceSeconds = graceOf(options);
  if (options.force === true) {
    context.stderr.write(
      "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.\n",
    );
  }
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const targets = await targetsOf(words, options, connection, mapper, context);
  const waiting: { target: Target; uid: string | undefined }[] = [];
  let failure: unknown;
  for (const target of targets) {
    try {
      const settings = { propagationPolicy, dryRun: dryRun === "server", signal: context.signal };
      const grace = graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds };
      const answer =
        dryRun === "client"
          ? await connection.client.get(target.resource, target.key, { signal: context.signal })
          : await connection.client.delete(target.resource, target.key, { ...settings, ...grace });
      const shown = objectName(target.resource, target.key.name);
      const forced = options.force === true ? " force" : "";
      const scope = target.key.namespace === "" ? "" : ` from ${target.key.namespace} namespace`;
      const suffix = { none: "", client: " (dry run)", server: " (server dry run)" }[dryRun];
      const quoted = shown.replace(/\/(.*)$/, ' "$1"');
      context.stdout.write(options.output === "name" ? `${shown}\n` : `${quoted}${forced} deleted${scope}${suffix}\n`);
      waiting.push({ target, uid: uidOf(answer) });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (isNotFound(error) && options.ignoreNotFound === true) continue;
      if (failure !== undefined) context.stderr.write(`${describeError(failure)}\n`);
      failure = error;
    }
  }
  if (options.wait && graceSeconds !== 0 && dryRun === "none") {
    await waitUntilGone(waiting, options, connection, context);
  }
  if (failure !== undefined) throw failure;
}

function parseCascade(text: string): PropagationPolicy {
  const policies: Readonly<Record<string, PropagationPolicy>> = {
    background: "Background",
    orphan: "Orphan",
    foreground: "Foreground",
    true: "Background",
    false: "Orphan",
  };
  const policy = policies[text];
  if (policy !== undefined) return policy;
  throw new CliError(`invalid cascade value (${text}). Must be "background", "foreground", or "orphan"`);
}

function graceOf(options: DeleteOptions): number | undefined {
  const seconds = options.now === true ? 1 : Number(options.gracePeriod);
  if (!Number.isInteger(seconds)) throw new CliError(`invalid --grace-period ${JSON.stringify(options.gracePeriod)}`);
  if (options.force === true) {
    if (seconds > 0) throw new CliError("--force and --grace-period greater than 0 cannot be specified together");
    return 0;
  }
  // Source: kubectl: 0 without --force means "at once, but let the kubelet confirm".
  return seconds < 0 ? undefined : Math.max(1, seconds);
}

async function targetsOf(
  words: string[],
  options: DeleteOptions,
  connection: Connection,
  mapper: ResourceMapper,
  context: CliContext,
): Promise<Target[]> {
  if (options.filename !== undefined || options.kustomize !== undefined) {
    const recursive = options.recursive === true;
    const manifests = await readManifests(options.filename ?? [], { ...options, recursive }, context);
    return manifests.map(({ object }) => {
      const { resource, namespace } = locate(object, mapper, connection);
      return { resource, key: { namespace, name: object.metadata.name ?? "" } };
    });
  }
  if (words.length === 0) throw new CliError(NOTHING_NAMED);
  const targets: Target[] = [];
  for (const { resource, name } of parseSelection(words, mapper)) {
    const namespace = !resource.namespaced || options.allNamespaces === true ? "" : connection.namespace;
    if (name !== undefined) {
      targets.push({ resource, key: { namespace, name } });
      continue;
    }
    const { selector, fieldSelector, all } = options;
    if (selector === undefined && fieldSelector === undefined && all !== true) {
      throw new CliError("resource(s) were provided, but no name was specified");
    }
    const { client } = connection;
    const list = await client.list(resource, {
      namespace,
      labelSelector: selector,
      fieldSelector,
      signal: context.signal,
    });
    for (const { metadata } of list.items as KubeObject[]) {
      targets.push({ resource, key: { namespace: metadata.namespace ?? "", name: metadata.name ?? "" } });
    }
  }
  if (targets.length === 0) context.stdout.write("No resources found\n");
  return targets;
}

/** The uid in the answer: the object itself, or the details of a Status. */
function uidOf(answer: unknown): string | undefined {
  const { metadata, details } = answer as { metadata?: { uid?: string }; details?: { uid?: string } };
  return metadata?.uid ?? details?.uid;
}

/** Waits for each object to vanish or to be replaced by another of its name. Throws CliError at the timeout. */
async function waitUntilGone(
  waiting: readonly { target: Target; uid: string | undefined }[],
  options: DeleteOptions,
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  const timeoutMs = parseGoDurationMs(options.timeout);
  const deadlineMs = timeoutMs <= 0 ? Number.POSITIVE_INFINITY : systemClock.monotonicMs() + timeoutMs;
  for (const { target, uid } of waiting) {
    for (;;) {
      const { items } = await client.list(target.resource, {
        namespace: target.key.namespace,
        fieldSelector: `metadata.name=${target.key.name}`,
        signal: context.signal,
      });
      const [found] = items as KubeObject[];
      if (found === undefined || (uid !== undefined && found.metadata.uid !== uid)) break;
      if (systemClock.monotonicMs() > deadlineMs) {
        const path = `${resourcePath(target.resource)}/${target.key.name}`;
        throw new CliError(`timed out waiting for the condition on ${path}`);
      }
      await systemClock.sleep(WAIT_POLL_MS, context.signal);
    }
  }
}
