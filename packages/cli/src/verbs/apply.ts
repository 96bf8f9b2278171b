import { parseLabelSelector as selectorOf } from "@knarr/apimachinery/label-selector.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf, type ObjectKey } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import { isConflict, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import type { ApplyOptions, ApplyTask } from "../apply-task.ts";
import { connect } from "../connect.ts";
import type { Manifest } from "../core/manifests.ts";
import type { DiscoveredResource } from "../core/resource-mapper.ts";
import { threeWayMergePatch } from "../core/three-way-merge.ts";
import { discover } from "../discovery.ts";
import { describeError } from "../errors.ts";
import { addFileFlags, collect, onByDefault } from "../flags.ts";
import { getIfThere, LAST_APPLIED, withLastApplied } from "../last-applied.ts";
import { patchLocally, schemaOf } from "../local-patch.ts";
import { forEachManifest, locate, parseValidation } from "../manifest-actions.ts";
import { addDryRunFlag, addPrintFlags, parseDryRun, ResultPrinter } from "../print.ts";
import { prune } from "../prune.ts";
import { readManifests } from "../read-manifests.ts";
import { BareError, type CliContext, CliError, type Verb } from "../verb.ts";
import { registerLastApplied } from "./apply-last-applied.ts";

export const apply: Verb = {
  name: "apply",
  register(program, context) {
    const command = program
      .command("apply")
      .description("Apply a configuration to a resource by file name or stdin")
      .option("--server-side", "have the server merge")
      .option("--force-conflicts", "with --server-side: take over fields that others own")
      .option("--field-manager <name>", "who owns the applied fields")
      .option("--validate <mode>", "strict, warn or ignore", "strict")
      .option("--force", "delete and make anew what can't be changed")
      .option("--prune", "delete what was applied before and is in no manifest any more")
      .option("--prune-allowlist <group/version/kind>", "kinds to prune instead of the usual ones", collect)
      .option("-l, --selector <query>", "only manifests with these labels; with --prune: what may be pruned")
      .option("--all", "with --prune: everything of the namespace may be pruned");
    onByDefault(command, "overwrite", "resolve differences by the manifest's values");
    addPrintFlags(addDryRunFlag(addFileFlags(command))).action((_options: unknown, self: Command) =>
      runApply(self.optsWithGlobals<ApplyOptions>(), context),
    );
    registerLastApplied(command, context);
  },
};

async function runApply(options: ApplyOptions, context: CliContext): Promise<void> {
  if (options.filename === undefined && options.kustomize === undefined) {
    throw new CliError("must specify one of -f and -k");
  }
  if (options.forceConflicts === true && options.serverSide !== true) {
    throw new CliError("--force-conflicts only works with --server-side");
  }
  const dryRun = parseDryRun(options.dryRun);
  if (dryRun === "client" && options.serverSide === true) {
    throw new CliError("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)");
  }
  if (options.prune === true && options.all !== true && options.selector === undefined) {
    throw new CliError(
      "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector",
    );
  }
  const fieldValidation = parseValidation(options.validate);
  const printer = new ResultPrinter(options, context);
  const recursive = options.recursive === true;
  const manifests = (await readManifests(options.filename ?? [], { ...options, recursive }, context)).filter((m) =>
    options.selector === undefined ? true : matches(options.selector, m.object),
  );
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const phase = { doing: "applying" };
  const task: ApplyTask = { options, dryRun, fieldValidation, connection, context, phase };
  const applied: { uid: string; namespace: string }[] = [];
  await forEachManifest(
    () => task.phase.doing,
    manifests,
    context,
    async (manifest) => {
      const { object } = manifest;
      const { resource, namespace } = locate(object, mapper, connection);
      const name = object.metadata.name ?? "";
      if (name === "" && object.metadata.generateName !== undefined) {
        throw new CliError(`from ${object.metadata.generateName}: cannot use generate name with apply`);
      }
      if (name === "") throw new CliError("resource name may not be empty");
      const wanted = {
        ...object,
        metadata: { ...object.metadata, ...(namespace === "" ? {} : { namespace }) },
      } as KubeObject;
      const key = { namespace, name };
      const { after, did } =
        options.serverSide === true
          ? await applyOnServer(task, resource, key, wanted)
          : await applyOnClient(task, resource, key, wanted, manifest);
      applied.push({ uid: after.metadata.uid ?? "", namespace });
      printer.print({ ...after, apiVersion: apiVersionOf(resource), kind: resource.kind }, did);
    },
  );
  if (options.prune === true) await prune(task, mapper, applied, printer);
}

function matches(selector: string, object: KubeObject): boolean {
  return selectorOf(selector).matches(object.metadata.labels ?? {});
}

async function applyOnServer(task: ApplyTask, resource: DiscoveredResource, key: ObjectKey, wanted: KubeObject) {
  const { options, context, connection, dryRun, fieldValidation } = task;
  const settings = {
    fieldManager: options.fieldManager ?? "kubectl",
    force: options.forceConflicts === true,
    dryRun: dryRun === "server",
    fieldValidation,
    signal: context.signal,
  };
  try {
    const after = await connection.client.patch(resource, key, { type: "apply", body: wanted }, settings);
    return { after: after as KubeObject, did: "serverside-applied" };
  } catch (error) {
    if (!isConflict(error) || (error as StatusError).status.details?.causes === undefined) throw error;
    throw new CliError(
      `${(error as StatusError).message}\n` +
        "Please review the fields above--they currently have other managers. Here\n" +
        "are the ways you can resolve this warning:\n" +
        "* If you intend to manage all of these fields, please re-run the apply\n" +
        "  command with the `--force-conflicts` flag.\n" +
        "* If you do not intend to manage all of the fields, please edit your\n" +
        "  manifest to remove references to the fields that should keep their\n" +
        "  current managers.\n" +
        "* You may co-own fields by updating your manifest to match the existing\n" +
        "  value; in this case, you'll become the manager if the other manager(s)\n" +
        "  stop managing the field (remove it from their configuration).\n" +
        "See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
    );
  }
}

async function applyOnClient(
  task: ApplyTask,
  resource: DiscoveredResource,
  key: ObjectKey,
  wanted: KubeObject,
  { source }: Manifest,
): Promise<{ after: KubeObject; did: string }> {
  const { connection, context, dryRun, fieldValidation, options } = task;
  const settings = {
    fieldManager: options.fieldManager ?? "kubectl-client-side-apply",
    dryRun: dryRun === "server",
    fieldValidation,
    signal: context.signal,
  };
  const modified = withLastApplied(wanted);
  const live = await getIfThere(connection, resource, key, context.signal);
  if (live === undefined) {
    task.phase.doing = "creating";
    if (dryRun === "client") return { after: modified, did: "created" };
    const created = (await connection.client.create(resource, modified, settings)) as KubeObject;
    return { after: created, did: "created" };
  }
  const remembered = live.metadata.annotations?.[LAST_APPLIED];
  if (remembered === undefined) {
    context.stderr.write(
      `Warning: resource ${resource.resource}/${key.name} is missing the ${LAST_APPLIED} annotation which is required by ` +
        "knarr apply. knarr apply should only be used on resources created declaratively by either knarr create " +
        "--save-config or knarr apply. The missing annotation will be patched automatically.\n",
    );
  }
  const last = remembered === undefined ? undefined : parseRemembered(remembered, source);
  const schema = schemaOf(modified as { apiVersion?: string });
  const patch = threeWayMergePatch(last, json(modified), json(live), schema);
  if (Object.keys(patch).length === 0) return { after: live, did: "unchanged" };
  const type = schema === undefined ? "merge" : "strategic";
  if (dryRun === "client") return { after: patchLocally(live, type, patch), did: "configured" };
  try {
    const after = await connection.client.patch(resource, key, { type, body: patch }, settings);
    return { after: after as KubeObject, did: "configured" };
  } catch (error) {
    task.phase.doing = "patching";
    if (options.force !== true && error instanceof StatusError) throw patchError(error, patch, resource, key, source);
    if (!(error instanceof StatusError)) throw error;
    await connection.client.delete(resource, key, { signal: context.signal });
    return { after: (await connection.client.create(resource, modified, settings)) as KubeObject, did: "configured" };
  }
}

/** kubectl shows what it sent, so that people see which field it was. */
function patchError(
  error: StatusError,
  patch: object,
  resource: DiscoveredResource,
  key: ObjectKey,
  source: string,
): CliError {
  const version = `${resource.group}/${resource.version}`;
  const [kind = "", ...rest] = describeError(error).split(": ");
  return new BareError(
    `${kind}: error when applying patch:\n${JSON.stringify(patch)}\nto:\n` +
      `Resource: "${version}, Resource=${resource.resource}", GroupVersionKind: "${version}, Kind=${resource.kind}"\n` +
      `Name: ${JSON.stringify(key.name)}, Namespace: ${JSON.stringify(key.namespace)}\n` +
      `for: ${JSON.stringify(source)}: error when patching ${JSON.stringify(source)}: ${rest.join(": ")}`,
  );
}

const json = (object: KubeObject) => object as unknown as JsonObject;

function parseRemembered(text: string, source: string): JsonObject {
  try {
    return JSON.parse(text) as JsonObject;
  } catch (error) {
    throw new CliError(`retrieving original configuration from annotation for ${source}: ${(error as Error).message}`);
  }
}
