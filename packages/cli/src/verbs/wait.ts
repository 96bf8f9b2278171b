/** `knarr wait`: until objects meet a condition, a field has a value, or they are made or gone. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { goText } from "../core/go-text.ts";
import { findValues, relaxedPath } from "../core/json-path.ts";
import type { DiscoveredResource } from "../core/resource-mapper.ts";
import { parseSelection } from "../core/selection.ts";
import { discover } from "../discovery.ts";
import { findObjects } from "../find-objects.ts";
import { addSelectFlags, duration, type SelectOptions } from "../flags.ts";
import { addPrintFlags, type PrintOptions, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface WaitOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly for?: string;
  readonly timeout: string;
}

const POLL_MS = 250;
const A_WEEK_MS = 7 * 24 * 3600 * 1000;

export const wait: Verb = {
  name: "wait",
  register(program, context) {
    const command = program
      .command("wait")
      .description("Wait for a specific condition on one or many resources")
      .argument("[type|type/name...]", "the objects")
      .option("--for <condition>", "create, delete, condition=NAME[=VALUE] or jsonpath=EXPRESSION[=VALUE]")
      .option("--timeout <duration>", "how long; 0 looks once, negative waits a week", duration, "30s");
    addPrintFlags(addSelectFlags(command)).action((words: string[], _options: unknown, self: Command) =>
      runWait(words, self.optsWithGlobals<WaitOptions>(), context),
    );
  },
};

type Condition =
  | { readonly kind: "create" | "delete" }
  | { readonly kind: "field"; readonly holds: (object: KubeObject) => boolean };

/** Throws CliError for what is no condition. */
function parseCondition(text: string | undefined): Condition {
  if (text === undefined) throw new CliError("unrecognized condition: []");
  const lower = text.toLowerCase();
  if (lower === "delete" || lower === "create") return { kind: lower };
  if (text.startsWith("condition=")) {
    const [name = "", value = "true"] = text.slice("condition=".length).split("=");
    return { kind: "field", holds: (object) => conditionHolds(object, name, value) };
  }
  if (text.startsWith("jsonpath=")) {
    const found = /^jsonpath='?(\{.*?\}|[^=]*)'?(?:=(.*))?$/s.exec(text);
    const [, path = "", value] = found ?? [];
    if (path === "")
      throw new CliError(
        "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or --for=jsonpath='{.status.readyReplicas}'",
      );
    if (value === "") throw new CliError("jsonpath wait has to have a value after equal sign");
    const template = relaxedPath(path);
    return { kind: "field", holds: (object) => pathHolds(object, template, value) };
  }
  throw new CliError(`unrecognized condition: ${JSON.stringify(text)}`);
}

function conditionHolds(object: KubeObject, name: string, value: string): boolean {
  const { status, metadata } = object as KubeObject & {
    status?: {
      observedGeneration?: number;
      conditions?: { type: string; status: string; observedGeneration?: number }[];
    };
  };
  const condition = status?.conditions?.find((c) => c.type.toLowerCase() === name.toLowerCase());
  if (condition === undefined) return false;
  const seen = condition.observedGeneration ?? status?.observedGeneration;
  // A condition from before the last change of the spec says nothing of now.
  if (seen !== undefined && seen < Number(metadata.generation ?? 0)) return false;
  return condition.status.toLowerCase() === value.toLowerCase();
}

function pathHolds(object: KubeObject, template: string, value: string | undefined): boolean {
  const values = findValues(template, object, { allowMissingKeys: true });
  if (values.length === 0) return false;
  if (value === undefined) return true;
  if (values.length > 1) throw new CliError("given jsonpath expression matches more than one value");
  if (typeof values[0] === "object" && values[0] !== null) {
    throw new CliError(`jsonpath leads to a nested object or list which is not supported: ${goText(values[0])}`);
  }
  return goText(values[0]) === value;
}

interface Target {
  readonly resource: DiscoveredResource;
  readonly key: ObjectKey;
  readonly uid: string | undefined;
}

async function runWait(words: string[], options: WaitOptions, context: CliContext): Promise<void> {
  const condition = parseCondition(options.for);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const timeoutMs = parseGoDurationMs(options.timeout);
  const deadlineMs = systemClock.monotonicMs() + (timeoutMs < 0 ? A_WEEK_MS : timeoutMs);
  const targets = await targetsOf(words, options, condition, connection, context, deadlineMs);
  if (targets.length === 0 && condition.kind !== "delete") throw new CliError("no matching resources found");
  for (const target of targets) {
    await waitFor(target, condition, deadlineMs, connection, context, printer, timeoutMs === 0);
  }
}

async function targetsOf(
  words: string[],
  options: WaitOptions,
  condition: Condition,
  connection: Connection,
  context: CliContext,
  deadlineMs: number,
): Promise<Target[]> {
  const namesOne = options.filename === undefined && options.selector === undefined && options.all !== true;
  if (condition.kind === "create" && namesOne) {
    const mapper = await discover(connection.client, context.signal);
    return parseSelection(words, mapper).map(({ resource, name = "" }) => ({
      resource,
      key: { namespace: resource.namespaced ? connection.namespace : "", name },
      uid: undefined,
    }));
  }
  for (;;) {
    try {
      const found = await findObjects(words, options, connection, context);
      const done = found.length > 0 || condition.kind !== "create" || systemClock.monotonicMs() > deadlineMs;
      if (done) return found.map(({ resource, key, object }) => ({ resource, key, uid: object.metadata.uid }));
    } catch (error) {
      if (condition.kind === "delete" && isNotFound(error)) return [];
      throw error;
    }
    await systemClock.sleep(POLL_MS, context.signal);
  }
}

async function waitFor(
  { resource, key, uid }: Target,
  condition: Condition,
  deadlineMs: number,
  { client }: Connection,
  context: CliContext,
  printer: ResultPrinter,
  looksOnce: boolean,
): Promise<void> {
  let last: KubeObject | undefined;
  for (;;) {
    let object: KubeObject | undefined;
    try {
      object = (await client.get(resource, key, { signal: context.signal })) as KubeObject;
      object = {
        ...object,
        kind: resource.kind,
        apiVersion: resource.group === "" ? resource.version : `${resource.group}/${resource.version}`,
      } as KubeObject;
      last = object;
    } catch (error) {
      if (!isNotFound(error) || (condition.kind === "field" && uid === undefined)) throw error;
      if (condition.kind === "field") throw error;
    }
    if (condition.kind === "delete" && (object === undefined || (uid !== undefined && object.metadata.uid !== uid))) {
      const gone = last ?? placeholder(resource, key);
      printer.print(gone, "condition met");
      return;
    }
    if (
      object !== undefined &&
      (condition.kind === "create" || (condition.kind === "field" && condition.holds(object)))
    ) {
      printer.print(object, "condition met");
      return;
    }
    if (systemClock.monotonicMs() >= deadlineMs) {
      const what = looksOnce ? "condition not met for" : "timed out waiting for the condition on";
      throw new CliError(`${what} ${resource.resource}/${key.name}`);
    }
    await systemClock.sleep(POLL_MS, context.signal);
  }
}

function placeholder(resource: DiscoveredResource, key: ObjectKey): KubeObject {
  const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
  return { apiVersion, kind: resource.kind, metadata: { ...key } } as KubeObject;
}
