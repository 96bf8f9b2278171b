/** Sets, chains and rules of nftables as the text that nft reads. Pure. Source: nft(8) */
import type { IpFamily } from "./ip.ts";
import type { NftAction, NftField, NftKey, NftMatch, NftRule, NftSet } from "./nft-rule.ts";
import type { Protocol } from "./rule.ts";

const ipOf = (family: IpFamily) => (family === "ipv4" ? "ip" : "ip6");

interface KeyContext {
  /** Given where the rule is for one protocol only. */
  readonly protocol?: Protocol;
  readonly choices?: number;
}

function fieldText(field: NftField, family: IpFamily, { protocol, choices = 1 }: KeyContext): string {
  switch (field) {
    case "protocol":
      return "meta l4proto";
    case "source":
      return `${ipOf(family)} saddr`;
    case "destination":
      return `${ipOf(family)} daddr`;
    case "destinationPort":
      return `${protocol ?? "th"} dport`;
    case "index":
      return `numgen random mod ${choices}`;
    default:
      throw new TypeError(`unknown field ${JSON.stringify(field satisfies never)}`);
  }
}

function keyText(key: NftKey, family: IpFamily, context: KeyContext = {}): string {
  return key.map((field) => fieldText(field, family, context)).join(" . ");
}

/**
 * What stands between the braces of a set or map. A random number has no name among nft's types, so keys with an index
 * (below 65536) are declared by examples. These must name the protocol: with "th dport" among them nft 1.0.6 refuses
 * every later rule that uses the map.
 */
export function renderSet(set: NftSet, family: IpFamily): string {
  const interval = set.interval === true ? " flags interval;" : "";
  const dynamic = set.dynamicSize === undefined ? "" : ` size ${set.dynamicSize}; flags dynamic,timeout;`;
  if (set.data === undefined || set.data === "verdict") {
    const types = set.key.map((field) => typeOf(field, family)).join(" . ");
    return `type ${types}${set.data === undefined ? "" : " : verdict"};${interval}${dynamic}`;
  }
  const protocol = set.data;
  const data = keyText(["destination", "destinationPort"], family, { protocol });
  return `typeof ${keyText(set.key, family, { protocol, choices: 65_536 })} : ${data};`;
}

function typeOf(field: NftField, family: IpFamily): string {
  if (field === "protocol") return "inet_proto";
  if (field === "destinationPort") return "inet_service";
  return family === "ipv4" ? "ipv4_addr" : "ipv6_addr";
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function renderMatch(match: NftMatch, family: IpFamily): string {
  const not = "not" in match && match.not === true ? "!= " : "";
  switch (match.kind) {
    case "source":
    case "destination":
      return `${fieldText(match.kind, family, {})} ${not}${match.is}`;
    case "inInterface":
      return `iifname ${not}"${match.is}"`;
    case "inSet":
      return `${keyText(match.key, family)} ${not}@${match.is}`;
    case "mark":
      return `meta mark & ${hex(match.mask)} ${match.not === true ? "==" : "!="} 0`;
    case "state":
      return `ct state ${match.is}`;
    case "sourceIsLocal":
      return "fib saddr type local";
    case "destinationIsLocal":
      return "fib daddr type local";
    case "protocol":
      return `meta l4proto ${match.is}`;
    default:
      throw new TypeError(`unknown match ${JSON.stringify(match satisfies never)}`);
  }
}

function renderAction(action: NftAction, family: IpFamily): string {
  switch (action.kind) {
    case "jump":
    case "goto":
      return `${action.kind} ${action.chain}`;
    case "accept":
    case "drop":
    case "reject":
    case "return":
      return action.kind;
    case "lookUp":
      return `${keyText(action.key, family)} vmap @${action.map}`;
    case "translate":
      return `dnat ${ipOf(family)} to ${keyText(action.key, family, action)} map @${action.map}`;
    case "dnat":
      return `dnat ${ipOf(family)} to ${action.to}`;
    case "choose": {
      const verdicts = action.chains.map((chain, i) => `${i} : goto ${chain}`).join(", ");
      return `numgen random mod ${action.chains.length} vmap { ${verdicts} }`;
    }
    case "note":
      return `update @${action.set} { ${fieldText("source", family, {})} timeout ${action.seconds}s }`;
    case "masquerade":
      return "masquerade fully-random";
    case "mark":
      return `meta mark set meta mark ${action.how === "set" ? "|" : "^"} ${hex(action.mask)}`;
    default:
      throw new TypeError(`unknown action ${JSON.stringify(action satisfies never)}`);
  }
}

export function renderNftRule(rule: NftRule, family: IpFamily): string {
  return [...rule.matches.map((match) => renderMatch(match, family)), renderAction(rule.action, family)].join(" ");
}
