/** `knarr create`: objects from manifests (-f, -k), or from a few words (`create deployment web --image=nginx`). */
import { batch, core } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import { Argument, type Command } from "commander";
import { connect } from "../connect.ts";
import { type ResourceMapper, resolveBare } from "../core/resource-mapper.ts";
import type { Flags, Generator } from "../create/generator.ts";
import { generatorsWith } from "../create/index.ts";
import { discover } from "../discovery.ts";
import { addFileFlags, duration, type FileOptions } from "../flags.ts";
import { withLastApplied } from "../last-applied.ts";
import { forEachManifest, locate, parseValidation } from "../manifest-actions.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface CreateOptions extends GlobalOptions, FileOptions, PrintOptions {
  readonly dryRun?: string;
  readonly validate: string;
  readonly saveConfig?: boolean;
  readonly fieldManager: string;
  readonly selector?: string;
  readonly raw?: string;
}

export const create: Verb = {
  name: "create",
  register(program, context) {
    const command = program.command("create").description("Create a resource from a file or from stdin");
    command
      .option("-l, --selector <query>", "only manifests with these labels")
      .option("--edit", "edit before creating");
    commonFlags(addFileFlags(command)).action((_options: unknown, self: Command) => {
      const [word] = self.args;
      if (word !== undefined) throw new CliError(`unknown command "${word}" for "knarr create"`);
      return runCreate(self.optsWithGlobals<CreateOptions>(), context);
    });
    command.allowExcessArguments();
    const groups = new Map<string, Command>();
    // Which group a resource belongs to is the server's to say; it is filled in before an object is built.
    let mapper: ResourceMapper | undefined;
    const groupOf = (resource: string) => {
      if (mapper === undefined) return "";
      return resolveBare(mapper, resource).group;
    };
    for (const generator of generatorsWith(groupOf)) {
      const [first = "", second] = generator.name.split(" ");
      let parent = command;
      if (second !== undefined) {
        parent = groups.get(first) ?? command.command(first).description(`Create a ${first}`);
        groups.set(first, parent);
        if (first === "service" && parent.aliases().length === 0) parent.alias("svc");
      }
      const own = parent.command(second ?? first).description(generator.description);
      for (const alias of generator.aliases ?? []) own.alias(alias);
      own.addArgument(new Argument("[name...]", "the object's name"));
      generator.flags(own);
      commonFlags(own).action(async (words: string[], _options: unknown, self: Command) => {
        const flags = self.optsWithGlobals<Flags & CreateOptions>();
        const needsGroups = generator.name === "role" || generator.name === "clusterrole";
        if (needsGroups) mapper = await discover((await connect(flags, context)).client, context.signal);
        await runGenerator(generator, words, flags, context).catch((error: unknown) => {
          throw failureOf(generator, error);
        });
      });
    }
    registerToken(command, context);
  },
};

/** kubectl names the generator in front of some refusals, and shows where the help is for wrong names. */
function failureOf({ name, failure }: Generator, error: unknown): unknown {
  if (error instanceof CliError && error.message.startsWith("exactly one NAME")) {
    return new CliError(`${error.message}\nSee 'knarr create ${name} -h' for help and examples`);
  }
  if (!(error instanceof StatusError) || failure === undefined) return error;
  return new CliError(`${failure} ${error.message}`);
}

function commonFlags(command: Command): Command {
  command
    .option("--validate <mode>", "strict, warn or ignore", "strict")
    .option("--save-config", "keep the manifest in the annotation of kubectl apply")
    .option("--field-manager <name>", "who owns the fields", "kubectl-create");
  return addPrintFlags(addDryRunFlag(command));
}

async function runCreate(options: CreateOptions, context: CliContext): Promise<void> {
  if (options.filename === undefined && options.kustomize === undefined) {
    throw new CliError("must specify one of -f and -k");
  }
  const dryRun = parseDryRun(options.dryRun);
  const fieldValidation = parseValidation(options.validate);
  const printer = new ResultPrinter(options, context);
  const recursive = options.recursive === true;
  const manifests = await readManifests(options.filename ?? [], { ...options, recursive }, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  const settings = {
    dryRun: dryRun === "server",
    fieldManager: options.fieldManager,
    fieldValidation,
    signal: context.signal,
  };
  await forEachManifest("creating", manifests, context, async ({ object }) => {
    const { resource, namespace } = locate(object, mapper, connection);
    const metadata = { ...object.metadata, ...(namespace === "" ? {} : { namespace }) };
    const plain = { ...object, metadata } as KubeObject;
    const wanted = options.saveConfig === true ? withLastApplied(plain) : plain;
    const made = dryRun === "client" ? wanted : await connection.client.create(resource, wanted, settings);
    printer.print({ ...(made as KubeObject), apiVersion: object.apiVersion, kind: object.kind }, "created");
  });
}

async function runGenerator(
  generator: Generator,
  words: readonly string[],
  flags: Flags & CreateOptions,
  context: CliContext,
): Promise<void> {
  const dryRun = parseDryRun(flags.dryRun);
  const printer = new ResultPrinter(flags, context);
  const before = words.slice(0, words.length - (context.afterDashes?.length ?? 0));
  const from = generator.name === "job" ? (flags.from as string | undefined) : undefined;
  // Bindings have a --user of their own, which is not the kubeconfig's.
  const { user: _subject, ...global } = flags;
  const connection = dryRun === "client" && from === undefined ? undefined : await connect(global, context);
  const built =
    from === undefined || connection === undefined
      ? generator.build(before, flags, context.afterDashes)
      : await jobFrom(from, before, connection, context);
  const namespace = connection?.namespace ?? flags.namespace;
  const placed =
    generator.namespaced && namespace !== undefined && (connection !== undefined || flags.namespace !== undefined)
      ? { ...built, metadata: { ...built.metadata, namespace } }
      : built;
  const wanted = flags.saveConfig === true ? withLastApplied(placed) : placed;
  if (dryRun === "client" || connection === undefined) {
    printer.print(wanted, "created");
    return;
  }
  const mapper = await discover(connection.client, context.signal);
  const { apiVersion = "", kind = "" } = wanted as { apiVersion?: string; kind?: string };
  const made = await connection.client.create(mapper.forKind(apiVersion, kind), wanted, {
    dryRun: dryRun === "server",
    fieldManager: flags.fieldManager,
    fieldValidation: parseValidation(flags.validate),
    signal: context.signal,
  });
  printer.print({ ...(made as KubeObject), apiVersion, kind } as KubeObject, "created");
}

/** `create job NAME --from=cronjob/NAME`. */
async function jobFrom(
  from: string,
  words: readonly string[],
  { client, namespace }: Connection,
  context: CliContext,
): Promise<KubeObject> {
  const [type = "", source = ""] = from.split("/");
  if (!["cronjob", "cronjobs", "cj", "cronjob.batch", "cronjobs.batch"].includes(type) || source === "") {
    throw new CliError(`from must be an existing cronjob: ${from}`);
  }
  const [name] = words;
  if (name === undefined) throw new CliError("exactly one NAME is required, got 0");
  const cronjob = await client.get(batch.cronjobs, { namespace, name: source }, { signal: context.signal });
  const template = cronjob.spec?.jobTemplate;
  const { labels } = template?.metadata ?? {};
  const annotations = { "cronjob.kubernetes.io/instantiate": "manual", ...template?.metadata?.annotations };
  const owner = {
    apiVersion: "batch/v1",
    kind: "CronJob",
    name: source,
    uid: cronjob.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, annotations, ...(labels === undefined ? {} : { labels }), ownerReferences: [owner] },
    spec: template?.spec ?? {},
  } as KubeObject;
}

interface TokenOptions extends GlobalOptions {
  readonly audience?: readonly string[];
  readonly duration: string;
  readonly boundObjectKind?: string;
  readonly boundObjectName?: string;
  readonly boundObjectUid?: string;
  readonly output?: string;
}

function registerToken(create: Command, context: CliContext): void {
  const command = create
    .command("token")
    .description("Request a service account token")
    .argument("<serviceaccount>", "the service account")
    .option("--audience <names>", "who may take the token", (v: string, p: string[] = []) => [...p, v])
    .option("--duration <duration>", "how long it lives", duration, "0s")
    .option("--bound-object-kind <kind>", "Pod, Secret or Node that the token dies with")
    .option("--bound-object-name <name>", "that object's name")
    .option("--bound-object-uid <uid>", "that object's UID");
  addPrintFlags(command).action(async (name: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<TokenOptions>();
    const { boundObjectKind: kind, boundObjectName: boundName, boundObjectUid: uid } = options;
    const printer = options.output === undefined ? undefined : new ResultPrinter(options, context);
    const { client, namespace } = await connect(options, context);
    const seconds = parseGoDurationMs(options.duration) / 1000;
    const request = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: {
        audiences: options.audience ?? [],
        ...(seconds > 0 ? { expirationSeconds: seconds } : {}),
        ...(kind === undefined
          ? {}
          : { boundObjectRef: { apiVersion: "v1", kind, name: boundName, ...(uid === undefined ? {} : { uid }) } }),
      },
    };
    const key = { namespace, name };
    const answer = await client
      .createSubresource<KubeObject & { status: { token: string } }>(core.serviceaccounts, key, "token", request, {
        signal: context.signal,
      })
      .catch((error: unknown) => {
        throw error instanceof StatusError ? new CliError(`failed to create token: ${error.message}`) : error;
      });
    if (printer === undefined) context.stdout.write(`${answer.status.token}\n`);
    else printer.print(answer, "created");
  });
}
