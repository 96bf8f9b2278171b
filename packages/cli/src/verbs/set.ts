/** `knarr set image|env|resources|selector|serviceaccount|subject`: changes parts of pod templates and the like. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Container, EnvVar, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { sortByName, splitList } from "../core/strings.ts";
import { type FoundObject, findObjects, forEachFound } from "../find-objects.ts";
import { addSelectFlags, collect, collectWhole, type SelectOptions } from "../flags.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";
import { pairsOf } from "./expose.ts";

interface SetOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly dryRun?: string;
  readonly containers?: string;
  readonly env?: readonly string[];
  readonly from?: string;
  readonly prefix?: string;
  readonly keys?: readonly string[];
  readonly list?: boolean;
  readonly overwrite?: boolean;
  readonly limits?: string;
  readonly requests?: string;
}

/** Objects with pod specs, and what to do to them. */
interface Setting {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly description: string;
  readonly did: (setting: string) => string;
  flags(command: Command): void;
  /** Words that are objects, and words that are the setting's own. */
  split(words: readonly string[]): { objects: string[]; values: string[] };
  /** Returns the changed object. */
  change(object: KubeObject, values: readonly string[], options: SetOptions, source: Source): KubeObject;
}
interface Source {
  readonly data: Readonly<Record<string, string>>;
  readonly kind: "ConfigMap" | "Secret" | undefined;
  readonly name: string;
}

const isPair = (word: string) => word.includes("=") || (word.endsWith("-") && word.length > 1);
const splitPairs = (words: readonly string[]) => {
  const at = words.findIndex((word, i) => i > 0 && isPair(word));
  return at < 0 ? { objects: [...words], values: [] } : { objects: words.slice(0, at), values: words.slice(at) };
};

/** The pod spec inside an object. Throws CliError for kinds that have none. */
export function podSpecOf(object: KubeObject): PodSpec {
  const { spec, kind } = object as {
    kind?: string;
    spec?: PodSpec & { template?: { spec?: PodSpec }; jobTemplate?: { spec?: { template?: { spec?: PodSpec } } } };
  };
  const found = spec?.jobTemplate?.spec?.template?.spec ?? spec?.template?.spec ?? (kind === "Pod" ? spec : undefined);
  if (found === undefined) throw new CliError(`the object is not a pod or does not have a pod template: ${kind}`);
  return found;
}

/** `*` and `?` wildcards, as --containers has them. */
function matchesName(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`).test(name);
}

function containersOf(spec: PodSpec, pattern: string): Container[] {
  return [...(spec.containers ?? []), ...(spec.initContainers ?? [])].filter((c) => matchesName(pattern, c.name));
}

const image: Setting = {
  name: "image",
  description: "Update the image of a pod template",
  did: () => "image updated",
  flags: () => {},
  split: splitPairs,
  change(object, values) {
    if (values.length === 0) throw new CliError("at least one image update is required");
    const spec = podSpecOf(object);
    for (const [pattern, wanted] of values.map((value) => value.split("=", 2) as [string, string])) {
      const found = containersOf(spec, pattern);
      if (found.length === 0 && pattern !== "*")
        throw new CliError(`unable to find container named ${JSON.stringify(pattern)}`);
      for (const container of found) container.image = wanted;
    }
    return object;
  },
};

const env: Setting = {
  name: "env",
  description: "Update environment variables on a pod template",
  did: () => "env updated",
  flags: (command) =>
    command
      .option("-c, --containers <pattern>", "which containers, * and ? match", "*")
      .option("-e, --env <key=value>", "a variable, can be repeated", collectWhole)
      .option("--from <configmap/name|secret/name>", "variables from an object's keys")
      .option("--prefix <text>", "put before the names of --from")
      .option("--keys <names>", "only these keys of --from", collect)
      .option("--list", "show the variables")
      .option("--overwrite", "change variables that are set already", true)
      .option("--no-overwrite", "fail where a variable is set already"),
  split: splitPairs,
  change(object, values, options, source) {
    const pairs = [...values, ...(options.env ?? [])];
    const set: EnvVar[] = [];
    const remove: string[] = [];
    for (const pair of pairs) {
      const equals = pair.indexOf("=");
      if (equals > 0) set.push({ name: pair.slice(0, equals), value: pair.slice(equals + 1) });
      else if (pair.endsWith("-")) remove.push(pair.slice(0, -1));
      else throw new CliError(`environment variables must be of the form key=value: ${pair}`);
    }
    set.push(...variablesFrom(source, options));
    if (set.length === 0 && remove.length === 0)
      throw new CliError("at least one environment variable must be provided");
    for (const container of containersOf(podSpecOf(object), options.containers ?? "*")) {
      const kept = (container.env ?? []).filter((v) => !remove.includes(v.name));
      for (const variable of set) {
        const at = kept.findIndex((v) => v.name === variable.name);
        if (at >= 0 && options.overwrite === false) {
          throw new CliError(
            `'${variable.name}' already has a value (${kept[at]?.value ?? ""}), and --overwrite is false`,
          );
        }
        if (at >= 0) kept[at] = variable;
        else kept.push(variable);
      }
      if (kept.length > 0) container.env = kept;
      else delete container.env;
    }
    return object;
  },
};

function variablesFrom({ kind, name, data }: Source, options: SetOptions): EnvVar[] {
  if (kind === undefined) return [];
  const ref = kind === "ConfigMap" ? "configMapKeyRef" : "secretKeyRef";
  return sortByName(data)
    .map(([key]) => key)
    .filter((key) => options.keys === undefined || options.keys.includes(key))
    .map((key) => ({
      name: `${options.prefix ?? ""}${key}`.toUpperCase().replace(/[-.]/g, "_"),
      valueFrom: { [ref]: { key, name } },
    }));
}

const resources: Setting = {
  name: "resources",
  description: "Update resource requests/limits on objects with pod templates",
  did: () => "resource requirements updated",
  flags: (command) =>
    command
      .option("-c, --containers <pattern>", "which containers, * and ? match", "*")
      .option("--limits <cpu=1,memory=1Gi>", "the limits")
      .option("--requests <cpu=1,memory=1Gi>", "the requests"),
  split: (words) => ({ objects: [...words], values: [] }),
  change(object, _values, options) {
    if (options.limits === undefined && options.requests === undefined) {
      throw new CliError("you must specify an update to requests or limits (in the form of --requests/--limits)");
    }
    const pattern = options.containers ?? "*";
    const found = containersOf(podSpecOf(object), pattern);
    if (found.length === 0) throw new CliError(`unable to find container named ${pattern}`);
    for (const container of found) {
      for (const part of ["limits", "requests"] as const) {
        const text = options[part];
        if (text === undefined) continue;
        const quantities: Record<string, string> = { ...container.resources?.[part] };
        // A quantity of 0 takes the resource away.
        for (const [name, value] of Object.entries(pairsOf(text))) {
          if (value === "0") delete quantities[name];
          else quantities[name] = value;
        }
        container.resources = { ...container.resources, [part]: quantities };
      }
    }
    return object;
  },
};

const serviceaccount: Setting = {
  name: "serviceaccount",
  aliases: ["sa"],
  description: "Update the service account of a resource",
  did: () => "serviceaccount updated",
  flags: () => {},
  split: (words) => ({ objects: words.slice(0, -1), values: words.slice(-1) }),
  change(object, [name]) {
    if (name === undefined) throw new CliError("serviceaccount is required");
    const spec = podSpecOf(object);
    spec.serviceAccountName = name;
    spec.serviceAccount = name;
    return object;
  },
};

const selector: Setting = {
  name: "selector",
  description: "Set the selector on a resource",
  did: () => "selector updated",
  flags: () => {},
  split: (words) => ({ objects: words.slice(0, -1), values: words.slice(-1) }),
  change(object, [text]) {
    if (text === undefined) throw new CliError("one resource and a selector are required");
    const { kind, spec } = object as { kind?: string; spec?: { selector?: unknown } };
    if (kind !== "Service" || spec === undefined) {
      throw new CliError(`setting a selector is only supported for Services, not ${kind}`);
    }
    spec.selector = pairsOf(text);
    return object;
  },
};

const settings: readonly Setting[] = [env, image, resources, selector, serviceaccount];

export const set: Verb = {
  name: "set",
  register(program, context) {
    const parent = program.command("set").description("Set specific features on objects");
    for (const setting of settings) {
      const command = parent.command(setting.name).description(setting.description).argument("[type|type/name...]");
      for (const alias of setting.aliases ?? []) command.alias(alias);
      setting.flags(command);
      command.option("--field-manager <name>", "who owns the changed fields", "kubectl-set");
      addPrintFlags(addDryRunFlag(addSelectFlags(command))).action(
        (words: string[], _options: unknown, self: Command) =>
          runSet(setting, words, self.optsWithGlobals<SetOptions>(), context),
      );
    }
  },
};

async function runSet(setting: Setting, words: string[], options: SetOptions, context: CliContext): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const { objects, values } = setting.split(words);
  const source = await sourceOf(options.from, connection, context);
  const found = await findObjects(objects, options, connection, context);
  await forEachFound(found, context, async (item) => {
    if (options.list === true) {
      listVariables(item, context);
      return;
    }
    const before = JSON.stringify(item.object);
    const changed = setting.change(structuredClone(item.object), values, options, source);
    if (options.local === true || dryRun === "client") {
      printer.print(changed, setting.did(setting.name));
      return;
    }
    if (JSON.stringify(changed) === before) {
      if (setting.name === "image" || setting.name === "env") return;
      printer.print(changed, setting.did(setting.name));
      return;
    }
    const fieldManager = "kubectl-set";
    const after = await connection.client.update(item.resource, changed as never, {
      dryRun: dryRun === "server",
      fieldManager,
      signal: context.signal,
    });
    printer.print({ ...(after as KubeObject), ...typeOf(item) } as KubeObject, setting.did(setting.name));
  });
}

const typeOf = ({ object }: FoundObject) => {
  const { apiVersion, kind } = object as { apiVersion?: string; kind?: string };
  return { apiVersion, kind };
};

function listVariables({ resource, key, object }: FoundObject, context: CliContext): void {
  for (const container of podSpecOf(object).containers ?? []) {
    context.stdout.write(`# ${resource.kind} ${key.name}, container ${container.name}\n`);
    for (const { name, value, valueFrom } of container.env ?? []) {
      if (valueFrom === undefined) {
        context.stdout.write(`${name}=${value ?? ""}\n`);
        continue;
      }
      const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = valueFrom;
      const from =
        configMapKeyRef !== undefined
          ? `configmap ${configMapKeyRef.name}, key ${configMapKeyRef.key}`
          : secretKeyRef !== undefined
            ? `secret ${secretKeyRef.name}, key ${secretKeyRef.key}`
            : `field path ${fieldRef?.fieldPath ?? resourceFieldRef?.resource ?? ""}`;
      context.stdout.write(`# ${name} from ${from}\n`);
    }
  }
}

async function sourceOf(
  text: string | undefined,
  { client, namespace }: Connection,
  context: CliContext,
): Promise<Source> {
  if (text === undefined) return { data: {}, kind: undefined, name: "" };
  const [type = "", name = ""] = text.split("/");
  const key = { namespace, name };
  if (["configmap", "configmaps", "cm"].includes(type)) {
    const { data = {} } = await client.get(core.configmaps, key, { signal: context.signal });
    return { data, kind: "ConfigMap", name };
  }
  if (["secret", "secrets"].includes(type)) {
    const { data = {} } = await client.get(core.secrets, key, { signal: context.signal });
    return { data, kind: "Secret", name };
  }
  throw new CliError(`unsupported resource specified in --from: ${splitList(text)[0] ?? text}`);
}
