/**
 * Walks a packet through rules as the kernel would and tells every fate it can have: each random branch is followed, with
 * its probability. Pure; nothing is sent. It judges the first packet of a connection, as the nat table does.
 *
 *   from outside:   nat PREROUTING -> route --local--> filter INPUT
 *                                         \-else---> filter FORWARD -> nat POSTROUTING
 *   from the host:  nat OUTPUT -> filter OUTPUT -> nat POSTROUTING
 *
 * With IPVS, what filter INPUT lets through to a virtual server goes on from there: -> filter OUTPUT -> nat POSTROUTING;
 * what the host itself sends to one is caught before filter OUTPUT.
 */
import { joinHostPort, prefixContains } from "./ip.ts";
import type { IpSetType } from "./ip-set.ts";
import type { ConntrackState, Negatable, Protocol, Rule, Table } from "./rule.ts";
import type { Ruleset } from "./ruleset.ts";

export interface TracedPacket {
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
  readonly protocol: Protocol;
  /** The interface it arrives on; absent for what the host itself sends. */
  readonly inInterface?: string;
  /** Names of `recent` lists that already hold the source. */
  readonly recentLists?: readonly string[];
  /** NEW when absent. */
  readonly state?: ConntrackState;
}

export interface TracedHost {
  /** The host's own addresses; loopback prefixes are always its own. */
  readonly addresses: readonly string[];
  readonly sets?: ReadonlyMap<string, TracedSet>;
  /** Real servers that take new connections, "address:port", by virtual server: "tcp 10.96.0.1:443". */
  readonly virtualServers?: ReadonlyMap<string, readonly string[]>;
}

export interface TracedSet {
  readonly type: IpSetType;
  /** As `ipset save` tells them. */
  readonly entries: ReadonlySet<string>;
}

export interface Fate {
  /** Between 0 and 1; all fates of a packet sum to 1. */
  readonly probability: number;
  readonly verdict: "accept" | "drop" | "reject";
  /** "address:port" at the end, after translation. */
  readonly destination: string;
  /** The source address is replaced by the host's. */
  readonly masqueraded: boolean;
  /** Lists that noted the source on the way. */
  readonly noted: readonly string[];
}

interface State {
  readonly probability: number;
  readonly address: string;
  readonly port: number;
  readonly mark: number;
  readonly translated: boolean;
  readonly masqueraded: boolean;
  readonly noted: readonly string[];
}

/** How a walk through one chain can end: with a verdict for the table, or by falling out at the end. */
type Ending = { readonly kind: "accept" | "drop" | "reject" | "fallThrough"; readonly state: State };

/** All fates of one packet. Throws a TypeError for a jump to a chain that does not exist. */
export function tracePacket(ruleset: Ruleset, packet: TracedPacket, host: TracedHost): Fate[] {
  const walker = new Walker(ruleset, packet, host);
  const start: State = {
    probability: 1,
    address: packet.destination,
    port: packet.destinationPort,
    mark: 0,
    translated: false,
    masqueraded: false,
    noted: [],
  };
  const fromHost = packet.inInterface === undefined;
  const fates: Fate[] = [];
  const finish = (verdict: Fate["verdict"], state: State) => {
    const destination = state.address.includes(":")
      ? `[${state.address}]:${state.port}`
      : `${state.address}:${state.port}`;
    const { probability, masqueraded, noted } = state;
    fates.push({ probability, verdict, destination, masqueraded, noted });
  };
  const hook = (table: Table, chain: string, states: readonly State[]): State[] => {
    const accepted: State[] = [];
    for (const ending of states.flatMap((state) => walker.walkBase(table, chain, state))) {
      if (ending.kind === "drop" || ending.kind === "reject") finish(ending.kind, ending.state);
      else accepted.push(ending.state);
    }
    return accepted;
  };
  const routed = hook("nat", fromHost ? "OUTPUT" : "PREROUTING", [start]);
  const local = (state: State) => walker.isLocal(state.address);
  const balanced = (states: readonly State[]): State[] => {
    const passed: State[] = [];
    const scheduled: State[] = [];
    for (const state of states) {
      const servers = walker.serversOf(state);
      if (servers === undefined) passed.push(state);
      else if (servers.length === 0) finish("reject", state);
      else
        scheduled.push(
          ...servers.map((to) => ({ ...sentTo(to, state), probability: state.probability / servers.length })),
        );
    }
    if (!fromHost) for (const state of passed) finish("accept", state);
    return fromHost ? [...passed, ...scheduled] : scheduled;
  };
  let sent: State[];
  if (fromHost) {
    sent = hook("filter", "OUTPUT", balanced(routed));
  } else {
    const input = hook("filter", "INPUT", routed.filter(local));
    const forward = routed.filter((state) => !local(state));
    sent = [...hook("filter", "OUTPUT", balanced(input)), ...hook("filter", "FORWARD", forward)];
  }
  for (const state of hook("nat", "POSTROUTING", sent)) finish("accept", state);
  return mergeFates(fates);
}

class Walker {
  readonly #ruleset: Ruleset;
  readonly #packet: TracedPacket;
  readonly #host: TracedHost;

  constructor(ruleset: Ruleset, packet: TracedPacket, host: TracedHost) {
    this.#ruleset = ruleset;
    this.#packet = packet;
    this.#host = host;
  }

  isLocal(address: string): boolean {
    return (
      this.#host.addresses.includes(address) || prefixContains("127.0.0.0/8", address) || prefixContains("::1", address)
    );
  }

  /** Of the virtual server that the packet meets; undefined when it meets none. */
  serversOf({ address, port }: State): readonly string[] | undefined {
    return this.#host.virtualServers?.get(`${this.#packet.protocol} ${joinHostPort(address, port)}`);
  }

  walkBase(table: Table, from: string, state: State): Ending[] {
    const jumps = this.#ruleset.jumps.filter((jump) => jump.table === table && jump.from === from);
    const rules = [...jumps.filter((j) => j.place === "first"), ...jumps.filter((j) => j.place === "last")];
    return this.#walkRules(
      table,
      rules.map((jump) => jump.rule),
      0,
      state,
    );
  }

  #walkRules(table: Table, rules: readonly Rule[], from: number, start: State): Ending[] {
    let state = start;
    for (let i = from; i < rules.length; i++) {
      const rule = rules[i] as Rule;
      if (!this.#matches(rule, state)) continue;
      if (rule.oneIn !== undefined && rule.oneIn > 1) {
        const missed = this.#walkRules(table, rules, i + 1, {
          ...state,
          probability: state.probability * (1 - 1 / rule.oneIn),
        });
        const hit = this.#hit(table, rules, i, { ...state, probability: state.probability / rule.oneIn });
        return [...hit, ...missed];
      }
      const outcome = this.#apply(table, rule, state);
      if (outcome.kind === "next") state = outcome.state;
      else return outcome.kind === "split" ? this.#resume(table, rules, i + 1, outcome.endings) : outcome.endings;
    }
    return [{ kind: "fallThrough", state }];
  }

  #hit(table: Table, rules: readonly Rule[], at: number, state: State): Ending[] {
    const outcome = this.#apply(table, rules[at] as Rule, state);
    if (outcome.kind === "next") return this.#walkRules(table, rules, at + 1, outcome.state);
    return outcome.kind === "split" ? this.#resume(table, rules, at + 1, outcome.endings) : outcome.endings;
  }

  /** After a jump: branches that fell out of the called chain go on with the next rule, the others are done. */
  #resume(table: Table, rules: readonly Rule[], next: number, endings: readonly Ending[]): Ending[] {
    return endings.flatMap((ending) =>
      ending.kind === "fallThrough" ? this.#walkRules(table, rules, next, ending.state) : [ending],
    );
  }

  #apply(
    table: Table,
    rule: Rule,
    before: State,
  ): { kind: "next"; state: State } | { kind: "split" | "end"; endings: Ending[] } {
    const state = rule.recent?.kind === "set" ? { ...before, noted: [...before.noted, rule.recent.name] } : before;
    const { target } = rule;
    switch (target.kind) {
      case "none":
        return { kind: "next", state };
      case "mark":
        return { kind: "next", state: { ...state, mark: ((state.mark & ~target.clear) ^ target.xor) >>> 0 } };
      case "jump": {
        const called = this.#ruleset.chains.get(table)?.get(target.chain);
        if (called === undefined) throw new TypeError(`jump to ${table} chain ${target.chain}, which does not exist`);
        return { kind: "split", endings: this.#walkRules(table, called, 0, state) };
      }
      case "accept":
      case "drop":
      case "reject":
        return { kind: "end", endings: [{ kind: target.kind, state }] };
      case "return":
        return { kind: "end", endings: [{ kind: "fallThrough", state }] };
      case "dnat":
        return { kind: "end", endings: [{ kind: "accept", state: sentTo(target.to, state) }] };
      case "masquerade":
        return { kind: "end", endings: [{ kind: "accept", state: { ...state, masqueraded: true } }] };
      default:
        throw new TypeError(`unknown target ${JSON.stringify(target satisfies never)}`);
    }
  }

  #matches(rule: Rule, state: State): boolean {
    const packet = this.#packet;
    if (!holds(rule.source, (prefix) => prefixContains(prefix, packet.source))) return false;
    if (!holds(rule.destination, (prefix) => prefixContains(prefix, state.address))) return false;
    if (!holds(rule.inInterface, (name) => interfaceMatches(name, packet.inInterface))) return false;
    if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
    if (rule.destinationPort !== undefined && rule.destinationPort !== state.port) return false;
    if (rule.sourceIsLocal === true && !(packet.inInterface === undefined || this.isLocal(packet.source))) return false;
    if (rule.destinationIsLocal === true && !this.isLocal(state.address)) return false;
    if (!holds(rule.mark, ({ value, mask }) => (state.mark & mask) >>> 0 === value)) return false;
    const states: ConntrackState[] = [packet.state ?? "NEW", ...(state.translated ? (["DNAT"] as const) : [])];
    if (!holds(rule.conntrack, (asked) => asked.some((s) => states.includes(s)))) return false;
    if (!holds(rule.inSet, (set) => this.#isInSet(set, state))) return false;
    if (rule.recent?.kind === "check" && packet.recentLists?.includes(rule.recent.name) !== true) return false;
    // The outgoing interface is the routing table's choice, which is not modelled: no rule of ours asks for it.
    return rule.outInterface === undefined;
  }

  #isInSet({ name, directions }: { readonly name: string; readonly directions: string }, state: State): boolean {
    const set = this.#host.sets?.get(name);
    if (set === undefined) throw new TypeError(`match of set ${name}, which does not exist`);
    const [first, , third] = directions.split(",");
    const addressAt = (direction = "dst") => (direction === "src" ? this.#packet.source : state.address);
    const port = `${this.#packet.protocol}:${state.port}`;
    switch (set.type) {
      case "hash:ip":
        return set.entries.has(addressAt(first));
      case "bitmap:port":
        return set.entries.has(String(state.port));
      case "hash:ip,port":
        return set.entries.has(`${addressAt(first)},${port}`);
      case "hash:ip,port,ip":
        return set.entries.has(`${addressAt(first)},${port},${addressAt(third)}`);
      case "hash:ip,port,net": {
        const start = `${addressAt(first)},${port},`;
        const nets = [...set.entries].filter((entry) => entry.startsWith(start));
        return nets.some((entry) => prefixContains(entry.slice(start.length), addressAt(third)));
      }
      default:
        throw new TypeError(`unknown type ${JSON.stringify(set.type satisfies never)}`);
    }
  }
}

/** To "address:port" or "[address]:port". */
function sentTo(to: string, state: State): State {
  const colon = to.lastIndexOf(":");
  const address = to.slice(0, colon).replace(/^\[|\]$/g, "");
  return { ...state, address, port: Number(to.slice(colon + 1)), translated: true };
}

function holds<T>(match: Negatable<T> | undefined, test: (value: T) => boolean): boolean {
  return match === undefined || test(match.is) !== (match.not === true);
}

function interfaceMatches(pattern: string, name: string | undefined): boolean {
  if (name === undefined) return false;
  return pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** Branches that differ in nothing but how they came about are one fate. */
export function mergeFates(fates: readonly Fate[]): Fate[] {
  const merged = new Map<string, Fate>();
  for (const fate of fates) {
    const key = JSON.stringify([fate.verdict, fate.destination, fate.masqueraded, fate.noted]);
    const same = merged.get(key);
    merged.set(key, same === undefined ? fate : { ...same, probability: same.probability + fate.probability });
  }
  return [...merged.values()];
}
