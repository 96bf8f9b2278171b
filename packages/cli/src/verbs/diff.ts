/** `knarr diff`: what apply would change, shown by diff (or $KUBECTL_EXTERNAL_DIFF). Exit code 1 means differences. */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import type { JsonObject } from "@knarr/apimachinery/schema.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderYaml, withoutManagedFields } from "../core/output.ts";
import type { DiscoveredResource } from "../core/resource-mapper.ts";
import { threeWayMergePatch } from "../core/three-way-merge.ts";
import { discover } from "../discovery.ts";
import { addFileFlags, type FileOptions } from "../flags.ts";
import { getIfThere, LAST_APPLIED, withLastApplied } from "../last-applied.ts";
import { schemaOf } from "../local-patch.ts";
import { locate, SilentError } from "../manifest-actions.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface DiffOptions extends GlobalOptions, FileOptions {
  readonly serverSide?: boolean;
  readonly forceConflicts?: boolean;
  readonly fieldManager?: string;
  readonly showManagedFields?: boolean;
}

export const diff: Verb = {
  name: "diff",
  register(program, context) {
    const command = program
      .command("diff")
      .description("Diff the live version against a would-be applied version")
      .option("--server-side", "as apply --server-side would change it")
      .option("--force-conflicts", "with --server-side: take over fields that others own")
      .option("--field-manager <name>", "who would own the fields")
      .option("--show-managed-fields", "compare managedFields too");
    addFileFlags(command).action((_options: unknown, self: Command) =>
      runDiff(self.optsWithGlobals<DiffOptions>(), context),
    );
  },
};

async function runDiff(options: DiffOptions, context: CliContext): Promise<void> {
  if (options.filename === undefined && options.kustomize === undefined) {
    throw new CliError("must specify one of -f and -k");
  }
  const recursive = options.recursive === true;
  const manifests = await readManifests(options.filename ?? [], { ...options, recursive }, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const folder = await mkdtemp(join(tmpdir(), "knarr-diff-"));
  const [live, merged] = [join(folder, "LIVE"), join(folder, "MERGED")];
  try {
    await Promise.all([mkdir(live), mkdir(merged)]);
    for (const { object } of manifests) {
      const { resource, namespace } = locate(object, mapper, connection);
      const wanted = {
        ...object,
        metadata: { ...object.metadata, ...(namespace === "" ? {} : { namespace }) },
      } as KubeObject;
      const [before, after] = await wouldBe(resource, wanted, options, connection, context);
      const file = [resource.group, resource.version, resource.kind, namespace, object.metadata.name]
        .filter((part) => part !== "")
        .join(".");
      const text = (value: KubeObject | undefined) =>
        value === undefined ? "" : renderYaml(masked(value, options.showManagedFields === true));
      await Promise.all([writeFile(join(live, file), text(before)), writeFile(join(merged, file), text(after))]);
    }
    const code = await compare(live, merged, context);
    if (code === 1) throw new SilentError();
    if (code > 1) throw new CliError(`diff ended with exit status ${code}`, code);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Values of Secrets are not for a screen. */
function masked(object: KubeObject, managedFields: boolean): KubeObject {
  const shown = managedFields ? object : withoutManagedFields(object);
  const { kind, data } = shown as { kind?: string; data?: Record<string, string> };
  if (kind !== "Secret" || data === undefined) return shown;
  return { ...shown, data: Object.fromEntries(Object.keys(data).map((key) => [key, "***"])) } as KubeObject;
}

async function wouldBe(
  resource: DiscoveredResource,
  wanted: KubeObject,
  options: DiffOptions,
  connection: Connection,
  context: CliContext,
): Promise<[KubeObject | undefined, KubeObject]> {
  const { client } = connection;
  const { signal } = context;
  const key = { namespace: wanted.metadata.namespace ?? "", name: wanted.metadata.name ?? "" };
  const typed = (object: unknown) =>
    ({ ...(object as KubeObject), apiVersion: apiVersionOf(resource), kind: resource.kind }) as KubeObject;
  const found = await getIfThere(connection, resource, key, signal);
  const live = found === undefined ? undefined : typed(found);
  if (options.serverSide === true) {
    const settings = { fieldManager: options.fieldManager ?? "kubectl", force: options.forceConflicts === true };
    const body = { type: "apply" as const, body: wanted };
    return [live, typed(await client.patch(resource, key, body, { ...settings, dryRun: true, signal }))];
  }
  const fieldManager = options.fieldManager ?? "kubectl-client-side-apply";
  const settings = { dryRun: true, fieldManager, signal };
  const modified = withLastApplied(wanted);
  if (live === undefined) return [live, typed(await client.create(resource, modified, settings))];
  const remembered = live.metadata.annotations?.[LAST_APPLIED];
  const last = remembered === undefined ? undefined : (JSON.parse(remembered) as JsonObject);
  const schema = schemaOf(modified as { apiVersion?: string });
  const json = (object: KubeObject) => object as unknown as JsonObject;
  const patch = threeWayMergePatch(last, json(modified), json(live), schema);
  const type = schema === undefined ? "merge" : "strategic";
  return [live, typed(await client.patch(resource, key, { type, body: patch }, settings))];
}

function compare(live: string, merged: string, context: CliContext): Promise<number> {
  const [command = "diff", ...args] = (context.env.KUBECTL_EXTERNAL_DIFF ?? "diff -u -N").split(/\s+/);
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args, live, merged], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk: Buffer) => context.stdout.write(chunk));
    child.stderr.on("data", (chunk: Buffer) => context.stderr.write(chunk));
    child.once("error", (error) => reject(new CliError(`failed to run ${JSON.stringify(command)}: ${error.message}`)));
    child.once("close", (code) => resolve(code ?? 2));
  });
}
