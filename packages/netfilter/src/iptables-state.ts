/**
 * The packet filter's state as text: what iptables-save prints, what a ruleset renders to, and the restore input that
 * leads from the one to the other. Both sides are canonical text, so a chain differs exactly when its strings differ.
 */
import type { IpFamily } from "./ip.ts";
import { parseRule, renderRule } from "./iptables-text.ts";
import { type Rule, type Table, tables } from "./rule.ts";
import type { Ruleset } from "./ruleset.ts";

/** Chain name -> its rules, each without "-A CHAIN ", joined by newlines. */
export type ChainTexts = ReadonlyMap<string, string>;
export type TableTexts = ReadonlyMap<Table, ChainTexts>;

/** Reads iptables-save output; tables that were not printed are absent, counters are dropped. */
export function parseSave(text: string): TableTexts {
  const result = new Map<Table, Map<string, string[]>>();
  let chains: Map<string, string[]> | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      const table = line.slice(1).trim() as Table;
      chains = new Map();
      if (tables.includes(table)) result.set(table, chains);
    } else if (line.startsWith(":")) {
      chains?.set(line.slice(1, line.indexOf(" ")), []);
    } else {
      const match = /^(?:\[\d+:\d+\] )?-A (\S+) ?(.*)$/.exec(line);
      if (match !== null) chains?.get(match[1] ?? "")?.push(match[2] ?? "");
    }
  }
  return new Map(
    [...result].map(([table, byName]) => [
      table,
      new Map([...byName].map(([name, rules]) => [name, rules.join("\n")])),
    ]),
  );
}

const chainTextsIpv4 = new WeakMap<readonly Rule[], string>();
const chainTextsIpv6 = new WeakMap<readonly Rule[], string>();

/** Remembered per array, so that a plan that reuses a chain's rules costs nothing to render and to compare again. */
function renderChain(rules: readonly Rule[], family: IpFamily): string {
  const cache = family === "ipv4" ? chainTextsIpv4 : chainTextsIpv6;
  let text = cache.get(rules);
  if (text === undefined) {
    text = rules.map((rule) => renderRule(rule, family)).join("\n");
    cache.set(rules, text);
  }
  return text;
}

/** The chains that a ruleset owns, as text. */
export function renderChains(ruleset: Ruleset, family: IpFamily): TableTexts {
  const result = new Map<Table, Map<string, string>>();
  for (const [table, chains] of ruleset.chains) {
    const texts = new Map<string, string>();
    for (const [name, rules] of chains) texts.set(name, renderChain(rules, family));
    result.set(table, texts);
  }
  return result;
}

export interface RestorePlan {
  /** Input for iptables-restore --noflush; "" when there is nothing to do. */
  readonly input: string;
  readonly changedChains: number;
  readonly deletedChains: number;
  readonly ruleLines: number;
}

export interface RestoreRequest {
  /** What stands in the kernel: read from it, or remembered from the last success. */
  readonly actual: TableTexts;
  readonly wanted: TableTexts;
  readonly jumps: Ruleset["jumps"];
  readonly family: IpFamily;
  /** Says which chains found in the kernel are ours to delete when they are not wanted. */
  readonly isOwned: (table: Table, chain: string) => boolean;
}

/**
 * The smallest restore that makes the kernel's part of `wanted` equal to it: changed chains are rewritten whole, missing
 * jumps are inserted, owned chains that are not wanted are deleted with the jumps to them. A second plan is empty.
 */
export function planRestore(request: RestoreRequest): RestorePlan {
  const parts: string[] = [];
  let changedChains = 0;
  let deletedChains = 0;
  let ruleLines = 0;
  for (const table of tables) {
    const wanted = request.wanted.get(table) ?? new Map<string, string>();
    const actual = request.actual.get(table) ?? new Map<string, string>();
    const declarations: string[] = [];
    const lines: string[] = [];
    for (const [name, text] of wanted) {
      if (actual.get(name) === text) continue;
      changedChains++;
      declarations.push(`:${name} - [0:0]`);
      if (text !== "") for (const rule of text.split("\n")) lines.push(`-A ${name} ${rule}`);
    }
    lines.push(...missingJumps(table, request, actual));
    ruleLines += lines.length;
    const unwanted = [...actual.keys()].filter((name) => !wanted.has(name) && request.isOwned(table, name));
    deletedChains += unwanted.length;
    // A chain that something jumps to can't be deleted, and one refusal would undo the whole table.
    if (unwanted.length > 0) {
      lines.push(...deleteJumps(new Set(unwanted), (name) => request.isOwned(table, name), actual));
    }
    for (const name of unwanted) {
      declarations.push(`:${name} - [0:0]`);
      lines.push(`-X ${name}`);
    }
    if (declarations.length + lines.length > 0) parts.push(renderTable(table, declarations, lines));
  }
  return { input: parts.join(""), changedChains, deletedChains, ruleLines };
}

function renderTable(table: Table, declarations: readonly string[], lines: readonly string[]): string {
  return `${[`*${table}`].concat(declarations, lines).join("\n")}\nCOMMIT\n`;
}

function missingJumps(table: Table, request: RestoreRequest, actual: ChainTexts): string[] {
  const inserts: string[] = [];
  const appends: string[] = [];
  for (const jump of request.jumps) {
    if (jump.table !== table) continue;
    const text = renderRule(jump.rule, request.family);
    if (hasRule(actual.get(jump.from) ?? "", text, request.family)) continue;
    if (jump.place === "first") inserts.push(`-I ${jump.from} ${text}`);
    else appends.push(`-A ${jump.from} ${text}`);
  }
  // Each insert goes to the top, so the last one written stands first.
  return [...inserts.toReversed(), ...appends];
}

/** The same conditions in another order are the same jump: upstream's kube-proxy writes some of them that way. */
function hasRule(chainText: string, rule: string, family: IpFamily): boolean {
  return chainText.split("\n").some((line) => {
    if (line === rule) return true;
    const parsed = parseRule(line);
    return parsed !== undefined && renderRule(parsed, family) === rule;
  });
}

/** The restore input that removes the jumps and every owned chain; "" when none is there. */
export function planRemoval(request: Omit<RestoreRequest, "wanted">): string {
  const parts: string[] = [];
  for (const table of tables) {
    const actual = request.actual.get(table);
    if (actual === undefined) continue;
    const isOwned = (name: string) => request.isOwned(table, name);
    const owned = [...actual.keys()].filter(isOwned);
    const deletes = deleteJumps(new Set(owned), isOwned, actual);
    if (owned.length + deletes.length === 0) continue;
    const declarations = owned.map((name) => `:${name} - [0:0]`);
    parts.push(renderTable(table, declarations, deletes.concat(owned.map((name) => `-X ${name}`))));
  }
  return parts.join("");
}

/** Lines that delete the jumps from others' chains into `targets`. */
function deleteJumps(
  targets: ReadonlySet<string>,
  isOwned: (chain: string) => boolean,
  actual: ChainTexts,
): readonly string[] {
  const lines: string[] = [];
  for (const [from, text] of actual) {
    if (isOwned(from) || text === "") continue;
    for (const rule of text.split("\n")) {
      const goesTo = /(?:^| )-[jg] (\S+)$/.exec(rule)?.[1];
      if (goesTo !== undefined && targets.has(goesTo)) lines.push(`-D ${from} ${rule}`);
    }
  }
  return lines;
}

/** What the kernel holds after `planRestore` succeeded, for the next partial plan: our chains, and the jumps as present. */
export function stateAfter(request: RestoreRequest): TableTexts {
  const result = new Map<Table, Map<string, string>>();
  for (const [table, chains] of request.wanted) result.set(table, new Map(chains));
  for (const jump of request.jumps) {
    const chains = result.get(jump.table) ?? new Map<string, string>();
    const text = renderRule(jump.rule, request.family);
    const before = chains.get(jump.from);
    chains.set(jump.from, before === undefined ? text : `${before}\n${text}`);
    result.set(jump.table, chains);
  }
  return result;
}
