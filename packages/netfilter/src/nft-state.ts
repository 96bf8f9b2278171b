/**
 * What an nftables table holds in the kernel, the difference to what it should hold, and the script for nft that leads
 * from the one to the other in one transaction: packets see all of it or nothing.
 */
import type { NftChain, NftElements, NftHook, NftSet, NftTable } from "./nft-rule.ts";
import { renderNftRule, renderSet } from "./nft-text.ts";

export interface ElementChange {
  readonly deleted: readonly string[];
  readonly added: NftElements;
}

export interface NftChange {
  /** The table is made anew; everything else of the change is then all that it holds. */
  readonly rebuild: boolean;
  readonly addedSets: ReadonlyMap<string, NftSet>;
  readonly deletedSets: readonly string[];
  /** Chains to be made or to be given these rules. */
  readonly writtenChains: ReadonlyMap<string, NftChain>;
  readonly deletedChains: readonly string[];
  readonly elements: ReadonlyMap<string, ElementChange>;
}

/** The kernel's table as read. */
export interface NftActual {
  /** All rules, to be compared with an earlier reading: nft prints them in another form than it was given. */
  readonly rules: string;
  readonly chains: ReadonlyMap<string, NftHook | undefined>;
  readonly sets: ReadonlyMap<string, { readonly shape: string; readonly elements: NftElements }>;
}

export function isEmptyChange(change: NftChange): boolean {
  const { addedSets, deletedSets, writtenChains, deletedChains, elements, rebuild } = change;
  const pieces = addedSets.size + deletedSets.length + writtenChains.size + deletedChains.length;
  return !rebuild && pieces === 0 && [...elements.values()].every((e) => e.deleted.length + e.added.size === 0);
}

/**
 * The change as one transaction, or as several where chains come or go with elements that lead to them. A packet that is on
 * its way during a commit finds new elements with the old generation's rules (the kernel reads the generation once for the
 * rules and at every look-up for the elements), and a chain made in that commit has none there: the packet would pass it
 * untranslated. So chains are made before elements lead to them, and deleted after none do.
 * Source: nft_do_chain() in net/netfilter/nf_tables_core.c, nft_genmask_cur() in its set look-ups
 */
export function changeSteps(change: NftChange): NftChange[] {
  const nothing = {
    rebuild: false,
    addedSets: new Map(),
    deletedSets: [],
    writtenChains: new Map(),
    deletedChains: [],
  };
  const { addedSets, writtenChains, deletedChains, deletedSets, elements } = change;
  if (change.rebuild || elements.size === 0) return [change];
  const first = { ...nothing, addedSets, writtenChains, elements: new Map() };
  const second = { ...nothing, elements };
  const third = { ...nothing, deletedChains, deletedSets, elements: new Map() };
  return [first, second, third].filter((step) => !isEmptyChange(step));
}

/** How many elements a change adds or deletes. */
export function countElements(change: NftChange): number {
  let count = 0;
  for (const { deleted, added } of change.elements.values()) count += deleted.length + added.size;
  return count;
}

/** The transaction, in an order in which nothing is deleted while something still leads to it. */
export function renderNftScript(table: Pick<NftTable, "family" | "name">, change: NftChange, comment = ""): string {
  const at = `${table.family === "ipv4" ? "ip" : "ip6"} ${table.name}`;
  const lines: string[] = [];
  if (change.rebuild) lines.push(`add table ${at}`, `delete table ${at}`);
  lines.push(`add table ${at}${comment === "" ? "" : ` { comment "${comment}"; }`}`);
  for (const [name, set] of change.addedSets) {
    lines.push(`add ${set.data === undefined ? "set" : "map"} ${at} ${name} { ${renderSet(set, table.family)} }`);
  }
  for (const [name, { hook }] of change.writtenChains) {
    const base = hook && ` { type ${hook.type} hook ${hook.hook} priority ${hook.priority}; }`;
    lines.push(`add chain ${at} ${name}${base ?? ""}`, `flush chain ${at} ${name}`);
  }
  for (const [set, { deleted }] of change.elements) {
    if (deleted.length > 0) lines.push(`delete element ${at} ${set} { ${deleted.join(", ")} }`);
  }
  for (const [name, { rules }] of change.writtenChains) {
    for (const rule of rules) lines.push(`add rule ${at} ${name} ${renderNftRule(rule, table.family)}`);
  }
  for (const [set, { added }] of change.elements) {
    if (added.size === 0) continue;
    const texts = Array.from(added, ([key, value]) => (value === "" ? key : `${key} : ${value}`));
    lines.push(`add element ${at} ${set} { ${texts.join(", ")} }`);
  }
  // A chain that another one to be deleted leads to is only free when that one is empty.
  for (const chain of change.deletedChains) lines.push(`flush chain ${at} ${chain}`);
  for (const chain of change.deletedChains) lines.push(`delete chain ${at} ${chain}`);
  for (const set of change.deletedSets) lines.push(`delete set ${at} ${set}`);
  return `${lines.join("\n")}\n`;
}

/** The whole of a wanted table as a change to nothing. */
export function wholeTable(wanted: NftTable): NftChange {
  return {
    rebuild: true,
    addedSets: wanted.sets,
    deletedSets: [],
    writtenChains: wanted.chains,
    deletedChains: [],
    elements: new Map([...wanted.elements].map(([set, added]) => [set, { deleted: [], added }])),
  };
}

/**
 * What makes the kernel's table equal to the wanted one. A table that can't be changed into it (another program's, with
 * sets of other types) is made anew. Rules are rewritten unless `rulesAreKnown`.
 */
export function diffNft(actual: NftActual | undefined, wanted: NftTable, rulesAreKnown: boolean): NftChange {
  if (actual === undefined || !isCompatible(actual, wanted)) return wholeTable(wanted);
  const elements = new Map<string, ElementChange>();
  for (const [name, set] of wanted.sets) {
    if (set.dynamicSize !== undefined) continue;
    const change = diffElements(actual.sets.get(name)?.elements ?? new Map(), wanted.elements.get(name) ?? new Map());
    if (change.deleted.length + change.added.size > 0) elements.set(name, change);
  }
  return {
    rebuild: false,
    addedSets: new Map([...wanted.sets].filter(([name]) => !actual.sets.has(name))),
    deletedSets: [...actual.sets.keys()].filter((name) => !wanted.sets.has(name)),
    writtenChains: new Map([...wanted.chains].filter(([name]) => !rulesAreKnown || !actual.chains.has(name))),
    deletedChains: [...actual.chains.keys()].filter((name) => !wanted.chains.has(name)),
    elements,
  };
}

function isCompatible(actual: NftActual, wanted: NftTable): boolean {
  for (const [name, set] of wanted.sets) {
    const found = actual.sets.get(name);
    if (found !== undefined && found.shape !== shapeOf(set)) return false;
  }
  for (const [name, { hook }] of wanted.chains) {
    if (actual.chains.has(name) && !isSameHook(actual.chains.get(name), hook)) return false;
  }
  return true;
}

function isSameHook(a: NftHook | undefined, b: NftHook | undefined): boolean {
  return a?.type === b?.type && a?.hook === b?.hook && a?.priority === b?.priority;
}

function diffElements(actual: NftElements, wanted: NftElements): ElementChange {
  const deleted: string[] = [];
  const added = new Map<string, string>();
  for (const [key, value] of actual) if (wanted.get(key) !== value) deleted.push(key);
  for (const [key, value] of wanted) if (actual.get(key) !== value) added.set(key, value);
  return { deleted, added };
}

/** As much of a set's type as `nft -j list` tells in all its versions. */
function shapeOf(set: NftSet): string {
  const data = set.data === undefined ? "set" : set.data === "verdict" ? "verdicts" : "map";
  const flags = [set.interval === true ? "interval" : "", set.dynamicSize === undefined ? "" : "dynamic"];
  return [data, set.key.length, ...flags].join(" ").trim();
}

type Json = { readonly [key: string]: Json } | readonly Json[] | string | number;
type Fields = Readonly<Record<string, Json>>;

/** Reads `nft -j list table`. Source: libnftables-json(5) */
export function parseNftTable(text: string): NftActual {
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly Fields[] };
  const chains = new Map<string, NftHook | undefined>();
  const sets = new Map<string, { readonly shape: string; readonly elements: NftElements }>();
  const rules: Json[] = [];
  for (const object of nftables) {
    const rule = object.rule as Fields | undefined;
    if (rule !== undefined) rules.push([rule.chain as Json, rule.expr as Json]);
    const chain = object.chain as Fields | undefined;
    if (chain !== undefined) {
      const { name, type, hook, prio } = chain;
      const base = hook === undefined ? undefined : ({ type, hook, priority: prio } as unknown as NftHook);
      chains.set(name as string, base);
    }
    const set = (object.set ?? object.map) as Fields | undefined;
    if (set !== undefined) sets.set(set.name as string, { shape: shapeOfJson(set), elements: elementsOfJson(set) });
  }
  return { chains, sets, rules: JSON.stringify(rules) };
}

function shapeOfJson(set: Fields): string {
  const data = set.map === undefined ? "set" : set.map === "verdict" ? "verdicts" : "map";
  const flags = Array.isArray(set.flags) ? set.flags : [set.flags];
  const type = (set.type as Fields)?.typeof ?? set.type;
  const fields = Array.isArray(type) ? type : ((type as Fields | undefined)?.concat ?? [type]);
  const has = (flag: string) => (flags.includes(flag) ? flag : "");
  return [data, (fields as readonly Json[]).length, has("interval"), flags.includes("timeout") ? "dynamic" : ""]
    .join(" ")
    .trim();
}

function elementsOfJson(set: Fields): NftElements {
  const elements = new Map<string, string>();
  if (set.elem === undefined || JSON.stringify(set.flags ?? "").includes("timeout")) return elements;
  for (const element of set.elem as readonly Json[]) {
    if (set.map === undefined) elements.set(valueText(element), "");
    else
      elements.set(
        valueText((element as readonly Json[])[0] as Json),
        valueText((element as readonly Json[])[1] as Json),
      );
  }
  return elements;
}

function valueText(value: Json): string {
  if (typeof value !== "object") return String(value);
  const fields = value as Fields;
  if (fields.elem !== undefined) return valueText((fields.elem as Fields).val as Json);
  if (fields.concat !== undefined) return (fields.concat as readonly Json[]).map(valueText).join(" . ");
  if (fields.prefix !== undefined) return `${(fields.prefix as Fields).addr}/${(fields.prefix as Fields).len}`;
  if (fields.goto !== undefined) return `goto ${(fields.goto as Fields).target}`;
  if (fields.jump !== undefined) return `jump ${(fields.jump as Fields).target}`;
  const [verdict = ""] = Object.keys(fields);
  return verdict;
}
