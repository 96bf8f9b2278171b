/**
 * `knarr apply`: brings objects to the state of manifests by server-side apply.
 *
 * Differs from upstream: kubectl applies on the client by default; here the server does, with the field manager
 * "knarr", because ownership then stands in managedFields and needs no copy of the manifest in an annotation. Fields
 * that other managers own are taken over, as client-side apply does silently.
 */

import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import type { Manifest } from "../core/manifests.ts";
import { OutputFormat, objectName, parseOutputFormat, renderJson, renderYaml } from "../core/output.ts";
import type { ResourceMapper } from "../core/resource-mapper.ts";
import { discover } from "../discovery.ts";
import { describeError } from "../errors.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";
import { collect } from "./get.ts";

interface ApplyOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly dryRun?: string;
  readonly output?: string;
  readonly fieldManager: string;
  readonly forceConflicts: boolean;
  readonly validate: string;
}

export const apply: Verb = {
  name: "apply",
  register(program, context) {
    program
      .command("apply")
      .description("Apply a configuration to a resource by file name or stdin")
      .option("-f, --filename <names>", "files, folders, URLs or - for standard input", collect)
      .option("-R, --recursive", "read folders with their subfolders")
      .option("--dry-run <mode>", "none or server", "none")
      .option("-o, --output <format>", "one of: json, yaml, name")
      .option("--field-manager <name>", "who owns the applied fields", "knarr")
      .option("--no-force-conflicts", "fail where other managers own a field")
      .option("--validate <mode>", "strict, warn or ignore", "strict")
      .action((_options: unknown, command: Command) => runApply(command.optsWithGlobals<ApplyOptions>(), context));
  },
};

export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** kubectl's --validate values: true and false are older names. */
export function parseValidation(text: string): FieldValidation {
  const modes: Readonly<Record<string, FieldValidation>> = {
    strict: "Strict",
    true: "Strict",
    warn: "Warn",
    ignore: "Ignore",
    false: "Ignore",
  };
  const mode = modes[text];
  if (mode === undefined)
    throw new CliError(`invalid --validate ${JSON.stringify(text)}: must be strict, warn or ignore`);
  return mode;
}

export function parseDryRun(text: string | undefined): boolean {
  if (text !== undefined && text !== "none" && text !== "server") {
    throw new CliError(`invalid dry-run value (${text}). Must be "none" or "server"`);
  }
  return text === "server";
}

/** Where the manifest's object goes; throws CliError when its namespace contradicts --namespace. */
export function locate(manifest: Manifest, mapper: ResourceMapper, connection: Connection) {
  const { object } = manifest;
  const resource = mapper.forKind(object.apiVersion, object.kind);
  if (!resource.namespaced) return { resource, namespace: "" };
  const namespace = object.metadata.namespace ?? connection.namespace;
  if (connection.namespaceGiven && namespace !== connection.namespace) {
    throw new CliError(
      `the namespace from the provided object "${namespace}" does not match the namespace "${connection.namespace}". ` +
        `You must pass '--namespace=${namespace}' to perform this operation.`,
    );
  }
  return { resource, namespace };
}

/** Runs `one` for every manifest; each failure is printed and the command fails at the end, as kubectl does. */
export async function forEachManifest(
  manifests: readonly Manifest[],
  context: CliContext,
  one: (manifest: Manifest) => Promise<void>,
): Promise<void> {
  let last: unknown;
  for (const manifest of manifests) {
    try {
      await one(manifest);
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (last !== undefined) context.stderr.write(`${describeError(last)}\n`);
      last = new CliManifestError(manifest.source, error);
    }
  }
  if (last !== undefined) throw last;
}

/** Says which file an error belongs to: `Error from server (BadRequest): error when creating "web.yaml": ...`. */
class CliManifestError extends CliError {
  constructor(source: string, cause: unknown) {
    super(describeError(cause).replace(/^error: /, ""));
    this.message = `when handling ${JSON.stringify(source)}: ${this.message}`;
    this.cause = cause;
  }
}

async function runApply(options: ApplyOptions, context: CliContext): Promise<void> {
  const format = parseOutputFormat(options.output);
  const dryRun = parseDryRun(options.dryRun);
  const fieldValidation = parseValidation(options.validate);
  const manifests = await readManifests(options.filename ?? [], { recursive: options.recursive === true }, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  await forEachManifest(manifests, context, async (manifest) => {
    const { resource, namespace } = locate(manifest, mapper, connection);
    const name = manifest.object.metadata.name ?? "";
    if (name === "") throw new CliError("resource name may not be empty");
    const key = { namespace, name };
    const object = {
      ...manifest.object,
      metadata: { ...manifest.object.metadata, ...(namespace === "" ? {} : { namespace }) },
    };
    const before = await getOrUndefined(connection, resource, key, context.signal);
    const after = (await connection.client.patch(
      resource,
      key,
      { type: "apply", body: object },
      {
        fieldManager: options.fieldManager,
        force: options.forceConflicts,
        dryRun,
        fieldValidation,
        signal: context.signal,
      },
    )) as KubeObject;
    if (format === OutputFormat.yaml || format === OutputFormat.json) {
      context.stdout.write(format === OutputFormat.yaml ? renderYaml(after) : renderJson(after));
      return;
    }
    const outcome = outcomeOf(before, after);
    const suffix = dryRun ? " (server dry run)" : "";
    const shown = objectName(resource, name);
    context.stdout.write(format === OutputFormat.name ? `${shown}\n` : `${shown} ${outcome}${suffix}\n`);
  });
}

async function getOrUndefined(
  { client }: Connection,
  resource: Parameters<Connection["client"]["get"]>[0],
  key: { namespace: string; name: string },
  signal: AbortSignal,
): Promise<KubeObject | undefined> {
  try {
    return (await client.get(resource, key, { signal })) as KubeObject;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function outcomeOf(before: KubeObject | undefined, after: KubeObject): "created" | "configured" | "unchanged" {
  if (before === undefined || before.metadata.uid !== after.metadata.uid) return "created";
  // Taking over ownership alone also changes the version; what people ask is whether the object differs.
  const content = (object: KubeObject) => {
    const { resourceVersion: _version, managedFields: _fields, ...metadata } = object.metadata;
    return renderJson({ ...object, metadata, status: undefined });
  };
  return content(before) === content(after) ? "unchanged" : "configured";
}
