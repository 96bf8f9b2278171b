/** Laws of the restore plan, on a model of what iptables-restore --noflush does. A failure prints its seed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planRemoval, planRestore, renderChains, stateAfter, type TableTexts } from "./iptables-state.ts";
import { jumpTo, type Rule, type Table } from "./rule.ts";
import type { Ruleset } from "./ruleset.ts";

const isOwned = (_table: Table, chain: string) => chain.startsWith("OUR-");

/** Applies a restore to a state; throws where the kernel would refuse. */
function restore(state: TableTexts, input: string): TableTexts {
  const tables = new Map([...state].map(([table, chains]) => [table, new Map(chains)]));
  let chains = new Map<string, string>();
  for (const line of input.split("\n").filter((l) => l !== "" && l !== "COMMIT")) {
    const [verb = "", name = "", ...rest] = line.split(" ");
    const rule = rest.join(" ");
    const linesOf = (chain: string) => (chains.get(chain) ?? "").split("\n").filter((l) => l !== "");
    if (verb.startsWith("*")) {
      const table = verb.slice(1) as Table;
      chains = tables.get(table) ?? new Map();
      tables.set(table, chains);
    } else if (verb.startsWith(":")) chains.set(verb.slice(1), "");
    else if (verb === "-A") chains.set(name, [...linesOf(name), rule].join("\n"));
    else if (verb === "-I") chains.set(name, [rule, ...linesOf(name)].join("\n"));
    else if (verb === "-D")
      chains.set(
        name,
        linesOf(name)
          .filter((l) => l !== rule)
          .join("\n"),
      );
    else if (verb === "-X") {
      const used = [...chains.values()].some((text) => text.split("\n").some((l) => l.endsWith(`-j ${name}`)));
      assert.ok(!used, `${name} is deleted while a rule jumps to it`);
      chains.delete(name);
    }
  }
  return tables;
}

const chainName = fc.constantFrom("OUR-A", "OUR-B", "OUR-C", "OUR-D");
const rule: fc.Arbitrary<Rule> = fc.oneof(
  fc.record({ destination: fc.ipV4().map((is) => ({ is })), target: fc.constant<Rule["target"]>({ kind: "drop" }) }),
  fc.record({ oneIn: fc.integer({ min: 2, max: 9 }), target: fc.constant<Rule["target"]>({ kind: "accept" }) }),
);
const chains = fc.dictionary(chainName, fc.array(rule, { maxLength: 3 }), { maxKeys: 4 });
const ruleset: fc.Arbitrary<Ruleset> = fc.record({ nat: chains, filter: chains }).map(({ nat, filter }) => {
  const jumps = Object.keys(nat).map((chain) => ({
    table: "nat" as const,
    from: "PREROUTING",
    place: "first" as const,
    rule: { target: jumpTo(chain) },
  }));
  return {
    chains: new Map<Table, Map<string, readonly Rule[]>>([
      ["nat", new Map(Object.entries(nat))],
      ["filter", new Map(Object.entries(filter))],
    ]),
    jumps,
  };
});
const foreign: TableTexts = new Map([
  [
    "nat",
    new Map([
      ["PREROUTING", "-j FOREIGN"],
      ["FOREIGN", "-j ACCEPT"],
    ]),
  ],
  ["filter", new Map([["INPUT", ""]])],
]);

function requestFor(wanted: Ruleset, actual: TableTexts) {
  return { actual, wanted: renderChains(wanted, "ipv4"), jumps: wanted.jumps, family: "ipv4", isOwned } as const;
}

const ownChains = (state: TableTexts, table: Table) =>
  new Map([...(state.get(table) ?? [])].filter(([name]) => isOwned(table, name)).sort());

test("a restore leads from any state to the wanted one, is then empty, and leaves foreign chains alone", () => {
  fc.assert(
    fc.property(ruleset, (wanted) => {
      const request = requestFor(wanted, foreign);
      const after = restore(foreign, planRestore(request).input);
      for (const table of ["nat", "filter"] as const) {
        assert.deepEqual(ownChains(after, table), new Map([...(request.wanted.get(table) ?? [])].sort()));
      }
      assert.equal(planRestore({ ...request, actual: after }).input, "");
      assert.equal(planRestore({ ...request, actual: stateAfter(request) }).input, "");
      assert.equal(after.get("nat")?.get("FOREIGN"), "-j ACCEPT");
      assert.match(after.get("nat")?.get("PREROUTING") ?? "", /-j FOREIGN$/);
    }),
  );
});

test("a removal after any restore gives the first state back", () => {
  fc.assert(
    fc.property(ruleset, (wanted) => {
      const after = restore(foreign, planRestore(requestFor(wanted, foreign)).input);
      const input = planRemoval({ actual: after, jumps: [], family: "ipv4", isOwned });
      const removed = restore(after, input);
      for (const [table, before] of foreign) assert.deepEqual(removed.get(table), before);
    }),
  );
});

test("a chain that is no longer wanted goes, with the jumps to it", () => {
  fc.assert(
    fc.property(ruleset, ruleset, (first, second) => {
      const begun = restore(foreign, planRestore(requestFor(first, foreign)).input);
      const after = restore(begun, planRestore(requestFor(second, begun)).input);
      assert.deepEqual([...ownChains(after, "nat").keys()], [...(second.chains.get("nat")?.keys() ?? [])].sort());
      assert.match(after.get("nat")?.get("PREROUTING") ?? "", /-j FOREIGN$/);
    }),
  );
});
