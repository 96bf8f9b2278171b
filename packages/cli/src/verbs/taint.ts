/** `knarr taint`: `key=value:effect` sets, `key-` and `key:effect-` remove. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Taint } from "@knarr/api/generated/types/core-v1.ts";
import { isLabelValue, isQualifiedName } from "@knarr/apimachinery/name-validation.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface TaintOptions extends GlobalOptions, PrintOptions {
  readonly selector?: string;
  readonly all?: boolean;
  readonly overwrite?: boolean;
  readonly dryRun?: string;
}

export const taint: Verb = {
  name: "taint",
  register(program, context) {
    const command = program
      .command("taint")
      .description("Update the taints on one or more nodes")
      .argument("[node|taint...]", "nodes, then taints to set or remove")
      .option("-l, --selector <query>", "nodes by label")
      .option("--all", "all nodes")
      .option("--overwrite", "change the value of taints that are set already");
    addPrintFlags(addDryRunFlag(command)).action((words: string[], _options: unknown, self: Command) =>
      runTaint(words, self.optsWithGlobals<TaintOptions>(), context),
    );
  },
};

interface Removal {
  readonly key: string;
  /** Undefined removes the key with every effect. */
  readonly effect: string | undefined;
}
const EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/** Throws CliError in kubectl's words for what is no taint. */
export function parseTaints(words: readonly string[]): { set: Taint[]; remove: Removal[] } {
  const set: Taint[] = [];
  const remove: Removal[] = [];
  for (const word of words) {
    if (word.endsWith("-")) {
      const [head = "", effect] = word.slice(0, -1).split(":");
      remove.push({ key: head.split("=")[0] ?? head, effect: effect === "" ? undefined : effect });
      continue;
    }
    const parts = word.split(":");
    const [pair = "", effect = ""] = parts;
    const [key = "", value, ...more] = pair.split("=");
    if (parts.length !== 2 || more.length > 0) throw new CliError(`invalid taint spec: ${word}`);
    const wrong = [...isQualifiedName(key), ...(value === undefined ? [] : isLabelValue(value))];
    if (wrong.length > 0) throw new CliError(`invalid taint spec: ${word}, ${wrong.join("; ")}`);
    if (!EFFECTS.includes(effect))
      throw new CliError(
        `invalid taint effect: ${effect}, unsupported taint effect\nSee 'knarr taint -h' for help and examples`,
      );
    if (set.some((t) => t.key === key && t.effect === effect)) {
      throw new CliError(`duplicated taints with the same key and effect: {${key} ${value ?? ""} ${effect} <nil>}`);
    }
    set.push({ key, ...(value === undefined ? {} : { value }), effect });
  }
  return { set, remove };
}

async function runTaint(words: string[], options: TaintOptions, context: CliContext): Promise<void> {
  const isTaint = (word: string) => /[=:]/.test(word) || word.endsWith("-");
  const first = words.findIndex((word, i) => i > 0 && isTaint(word));
  if (words.length === 0) throw new CliError("one or more resources must be specified as <resource> <name>");
  if (first < 0) throw new CliError("at least one taint update is required");
  const { set, remove } = parseTaints(words.slice(first));
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const found = await findObjects(words.slice(0, first), options, connection, context);
  await forEachFound(found, context, async ({ resource, key, object }) => {
    if (resource.kind !== "Node") {
      throw new CliError(`invalid resource type ${resource.resource}, only node types are supported`);
    }
    const node = object as Node;
    const old = node.spec?.taints ?? [];
    const { taints, did } = changedTaints(key.name, old, set, remove, options.overwrite === true);
    if (dryRun === "client") {
      printer.print({ ...node, spec: { ...node.spec, taints } } as Node, did);
      return;
    }
    const body = { metadata: { resourceVersion: node.metadata.resourceVersion }, spec: { taints } };
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-taint", signal: context.signal };
    printer.print(await connection.client.patch(core.nodes, key, { type: "merge", body }, settings), did);
  });
}

function changedTaints(
  node: string,
  old: readonly Taint[],
  set: readonly Taint[],
  remove: readonly Removal[],
  overwrite: boolean,
): { taints: Taint[]; did: string } {
  const same = (a: Taint, b: Taint) => a.key === b.key && a.effect === b.effect;
  const existing = set.filter((t) => old.some((o) => same(o, t)));
  if (existing.length > 0 && !overwrite) {
    const shown = existing.map((t) => t.key);
    throw new CliError(
      `node ${node} already has ${shown.join(", ")} taint(s) with same effect(s) and --overwrite is false`,
    );
  }
  for (const { key, effect } of remove) {
    if (old.some((t) => t.key === key && (effect === undefined || t.effect === effect))) continue;
    throw new CliError(`taint ${JSON.stringify(effect === undefined ? key : `${key}:${effect}`)} not found`);
  }
  const kept = old.filter(
    (t) =>
      !set.some((s) => same(s, t)) &&
      !remove.some((r) => r.key === t.key && (r.effect === undefined || r.effect === t.effect)),
  );
  if (set.length > 0) {
    return { taints: [...set, ...kept], did: existing.length > 0 ? "modified" : "tainted" };
  }
  return { taints: kept, did: "untainted" };
}
