/**
 * Walks the first packet of a connection through one nftables table as the kernel would, and tells every fate it can
 * have: each random choice is followed, with its probability. Pure; nothing is sent.
 *
 *   from outside:   prerouting -> route --local--> input
 *                                   \-else---> forward -> postrouting
 *   from the host:  output -> postrouting
 *
 * Base chains of a hook run by priority; "accept" ends one base chain, "drop" and "reject" the packet.
 */
import { prefixContains } from "./ip.ts";
import type { NftAction, NftHook, NftKey, NftMatch, NftRule, NftTable } from "./nft-rule.ts";
import { type Fate, mergeFates, type TracedHost, type TracedPacket } from "./trace-packet.ts";

interface State {
  readonly probability: number;
  readonly address: string;
  readonly port: number;
  readonly mark: number;
  readonly masqueraded: boolean;
  readonly noted: readonly string[];
}

type Ending = { readonly kind: "accept" | "drop" | "reject" | "fallThrough"; readonly state: State };

/** All fates of one packet; `recentLists` are the dynamic sets that hold its source. Throws for a missing chain. */
export function traceNft(table: NftTable, packet: TracedPacket, host: TracedHost): Fate[] {
  const walker = new Walker(table, packet, host);
  const { destination: address, destinationPort: port } = packet;
  const start: State = { probability: 1, address, port, mark: 0, masqueraded: false, noted: [] };
  const fates: Fate[] = [];
  const finish = (verdict: Fate["verdict"], state: State) => {
    const { probability, masqueraded, noted } = state;
    const destination = state.address.includes(":")
      ? `[${state.address}]:${state.port}`
      : `${state.address}:${state.port}`;
    fates.push({ probability, verdict, destination, masqueraded, noted });
  };
  const pass = (hook: NftHook["hook"], states: readonly State[]): State[] => {
    let passing = [...states];
    for (const chain of walker.baseChains(hook)) {
      const endings = passing.flatMap((state) => walker.walk(chain, 0, state));
      for (const { kind, state } of endings) if (kind === "drop" || kind === "reject") finish(kind, state);
      passing = endings.filter(({ kind }) => kind === "accept" || kind === "fallThrough").map(({ state }) => state);
    }
    return passing;
  };
  if (packet.inInterface === undefined) {
    for (const state of pass("postrouting", pass("output", [start]))) finish("accept", state);
  } else {
    const routed = pass("prerouting", [start]);
    const local = (state: State) => walker.isLocal(state.address);
    for (const state of pass("input", routed.filter(local))) finish("accept", state);
    const forwarded = routed.filter((state) => !local(state));
    for (const state of pass("postrouting", pass("forward", forwarded))) finish("accept", state);
  }
  return mergeFates(fates);
}

class Walker {
  readonly #table: NftTable;
  readonly #packet: TracedPacket;
  readonly #host: TracedHost;

  constructor(table: NftTable, packet: TracedPacket, host: TracedHost) {
    this.#table = table;
    this.#packet = packet;
    this.#host = host;
  }

  baseChains(hook: NftHook["hook"]): (readonly NftRule[])[] {
    const chains = [...this.#table.chains.values()].filter((chain) => chain.hook?.hook === hook);
    return chains.sort((a, b) => (a.hook?.priority ?? 0) - (b.hook?.priority ?? 0)).map(({ rules }) => rules);
  }

  isLocal(address: string): boolean {
    const loopback = prefixContains("127.0.0.0/8", address) || prefixContains("::1", address);
    return loopback || this.#host.addresses.includes(address);
  }

  walk(rules: readonly NftRule[], from: number, state: State): Ending[] {
    for (let i = from; i < rules.length; i++) {
      const rule = rules[i] as NftRule;
      if (!rule.matches.every((match) => this.#matches(match, state))) continue;
      const endings = this.#apply(rule.action, state, (next) => this.walk(rules, i + 1, next));
      if (endings !== undefined) return endings;
    }
    return [{ kind: "fallThrough", state }];
  }

  #chain(name: string): readonly NftRule[] {
    const chain = this.#table.chains.get(name);
    if (chain === undefined) throw new TypeError(`there is no chain ${name}`);
    return chain.rules;
  }

  #elements(set: string): ReadonlyMap<string, string> {
    if (!this.#table.sets.has(set)) throw new TypeError(`there is no set ${set}`);
    return this.#table.elements.get(set) ?? new Map();
  }

  /** The endings of the walk if the action decides it; undefined when the next rule comes. */
  #apply(action: NftAction, state: State, next: (state: State) => Ending[]): Ending[] | undefined {
    switch (action.kind) {
      case "accept":
      case "drop":
      case "reject":
        return [{ kind: action.kind, state }];
      case "return":
        return [{ kind: "fallThrough", state }];
      case "goto":
        return this.walk(this.#chain(action.chain), 0, state);
      case "jump":
        return this.walk(this.#chain(action.chain), 0, state).flatMap((ending) =>
          ending.kind === "fallThrough" ? next(ending.state) : [ending],
        );
      case "lookUp":
        return this.#verdict(this.#elements(action.map).get(this.#key(action.key, state)), state, next);
      case "translate": {
        if (action.protocol !== this.#packet.protocol) return undefined;
        const endings: Ending[] = [];
        for (let index = 0; index < action.choices; index++) {
          const branch = { ...state, probability: state.probability / action.choices };
          const to = this.#elements(action.map).get(this.#key(action.key, state, index));
          const [address = "", port] = to?.split(" . ") ?? [];
          if (to === undefined) endings.push(...next(branch));
          else endings.push({ kind: "accept", state: { ...branch, address, port: Number(port) } });
        }
        return endings;
      }
      case "dnat": {
        const colon = action.to.lastIndexOf(":");
        const address = action.to.slice(0, colon).replace(/^\[|\]$/g, "");
        return [{ kind: "accept", state: { ...state, address, port: Number(action.to.slice(colon + 1)) } }];
      }
      case "choose": {
        const branch = { ...state, probability: state.probability / action.chains.length };
        return action.chains.flatMap((chain) => this.walk(this.#chain(chain), 0, branch));
      }
      case "note":
        return next({ ...state, noted: [...state.noted, action.set] });
      case "masquerade":
        return [{ kind: "accept", state: { ...state, masqueraded: true } }];
      case "mark": {
        const mark = action.how === "set" ? state.mark | action.mask : state.mark ^ action.mask;
        return next({ ...state, mark: mark >>> 0 });
      }
      default:
        throw new TypeError(`unknown action ${JSON.stringify(action satisfies never)}`);
    }
  }

  #verdict(verdict: string | undefined, state: State, next: (state: State) => Ending[]): Ending[] | undefined {
    if (verdict === undefined) return undefined;
    const [kind, chain = ""] = verdict.split(" ");
    if (kind === "goto" || kind === "jump") return this.#apply({ kind, chain }, state, next);
    if (kind === "drop" || kind === "accept") return this.#apply({ kind }, state, next);
    throw new TypeError(`unknown verdict ${verdict}`);
  }

  #key(key: NftKey, state: State, index = 0): string {
    const values = {
      protocol: this.#packet.protocol,
      source: this.#packet.source,
      destination: state.address,
      destinationPort: state.port,
      index,
    };
    return key.map((field) => values[field]).join(" . ");
  }

  #matches(match: NftMatch, state: State): boolean {
    const packet = this.#packet;
    const not = "not" in match && match.not === true;
    switch (match.kind) {
      case "source":
        return prefixContains(match.is, packet.source) !== not;
      case "destination":
        return prefixContains(match.is, state.address) !== not;
      case "inInterface":
        return interfaceMatches(match.is, packet.inInterface) !== not;
      case "inSet":
        return this.#isInSet(match.is, match.key, state) !== not;
      case "mark":
        return ((state.mark & match.mask) !== 0) !== not;
      case "state":
        return (packet.state ?? "NEW").toLowerCase() === match.is;
      case "sourceIsLocal":
        return packet.inInterface === undefined || this.isLocal(packet.source);
      case "destinationIsLocal":
        return this.isLocal(state.address);
      case "protocol":
        return packet.protocol === match.is;
      default:
        throw new TypeError(`unknown match ${JSON.stringify(match satisfies never)}`);
    }
  }

  #isInSet(name: string, key: NftKey, state: State): boolean {
    const set = this.#table.sets.get(name);
    if (set?.dynamicSize !== undefined) return this.#packet.recentLists?.includes(name) ?? false;
    const asked = this.#key(key, state);
    const elements = this.#elements(name);
    if (elements.has(asked) || set?.interval !== true) return elements.has(asked);
    const cut = asked.lastIndexOf(" ") + 1;
    return [...elements.keys()].some((element) => {
      const sameHead = element.slice(0, element.lastIndexOf(" ") + 1) === asked.slice(0, cut);
      return sameHead && prefixContains(element.slice(element.lastIndexOf(" ") + 1), asked.slice(cut));
    });
  }
}

function interfaceMatches(pattern: string, name: string | undefined): boolean {
  if (name === undefined) return false;
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
