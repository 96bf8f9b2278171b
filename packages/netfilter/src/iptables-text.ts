/**
 * Rules as iptables-save prints them, and back. The text is canonical: what we render is byte for byte what the kernel's
 * tool shows after a restore, so that wanted and actual state can be compared as strings.
 *
 * Example: { destination: { is: "10.96.0.1" }, protocol: "tcp", comment: "default/kubernetes:https cluster IP",
 *            destinationPort: 443, target: jumpTo("KUBE-SVC-NPX46M4PTMTKRN6Y") }  is
 *   -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp --dport 443 -j KUBE-SVC-...
 */
import { bitsOf, formatPrefix, type IpFamily, parsePrefix } from "./ip.ts";
import {
  type ConntrackState,
  conntrackStates,
  type Negatable,
  type RecentMatch,
  type Rule,
  type Target,
} from "./rule.ts";

const renderedIpv4 = new WeakMap<Rule, string>();
const renderedIpv6 = new WeakMap<Rule, string>();

/** The text after "-A CHAIN "; remembered per rule object. */
export function renderRule(rule: Rule, family: IpFamily): string {
  const cache = family === "ipv4" ? renderedIpv4 : renderedIpv6;
  let text = cache.get(rule);
  if (text === undefined) {
    text = render(rule, family);
    cache.set(rule, text);
  }
  return text;
}

function render(rule: Rule, family: IpFamily): string {
  const words: string[] = [];
  const negated = (flag: string, match: Negatable<string> | undefined) => {
    if (match !== undefined) words.push(`${match.not === true ? "! " : ""}${flag} ${match.is}`);
  };
  negated("-s", withPrefix(rule.source));
  negated("-d", withPrefix(rule.destination));
  negated("-i", rule.inInterface);
  negated("-o", rule.outInterface);
  if (rule.protocol !== undefined) words.push(`-p ${rule.protocol}`);
  if (rule.comment !== undefined) words.push(`-m comment --comment ${quote(rule.comment)}`);
  if (rule.sourceIsLocal === true) words.push("-m addrtype --src-type LOCAL");
  if (rule.destinationIsLocal === true) words.push("-m addrtype --dst-type LOCAL");
  if (rule.destinationPort !== undefined) words.push(`-m ${rule.protocol} --dport ${rule.destinationPort}`);
  if (rule.conntrack !== undefined) {
    words.push(`-m conntrack ${rule.conntrack.not === true ? "! " : ""}--ctstate ${orderStates(rule.conntrack.is)}`);
  }
  if (rule.mark !== undefined) {
    const { value, mask } = rule.mark.is;
    const shown = mask === 0xffffffff ? hex(value) : `${hex(value)}/${hex(mask)}`;
    words.push(`-m mark ${rule.mark.not === true ? "! " : ""}--mark ${shown}`);
  }
  if (rule.inSet !== undefined) {
    const { name, directions } = rule.inSet.is;
    words.push(`-m set ${rule.inSet.not === true ? "! " : ""}--match-set ${name} ${directions}`);
  }
  if (rule.recent !== undefined) words.push(renderRecent(rule.recent, family));
  if (rule.oneIn !== undefined) words.push(`-m statistic --mode random --probability ${probability(rule.oneIn)}`);
  const target = renderTarget(rule.target, family);
  if (target !== "") words.push(target);
  return words.join(" ");
}

function withPrefix(match: Negatable<string> | undefined): Negatable<string> | undefined {
  if (match === undefined) return undefined;
  const prefix = parsePrefix(match.is);
  if (prefix === undefined) throw new TypeError(`not an address or prefix: ${JSON.stringify(match.is)}`);
  return { is: formatPrefix(prefix), ...(match.not === true ? { not: true } : {}) };
}

const orderStates = (states: readonly ConntrackState[]) => conntrackStates.filter((s) => states.includes(s)).join(",");
const hex = (value: number) => `0x${(value >>> 0).toString(16)}`;

function renderRecent(recent: RecentMatch, family: IpFamily): string {
  const mask = family === "ipv4" ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const what = recent.kind === "set" ? "--set" : `--rcheck --seconds ${recent.seconds} --reap`;
  return `-m recent ${what} --name ${recent.name} --mask ${mask} --rsource`;
}

/** The kernel keeps the probability as a 31-bit fraction, and iptables-save prints that fraction. */
function probability(oneIn: number): string {
  const asked = Number((1 / oneIn).toFixed(10));
  return (Math.round(asked * 2 ** 31) / 2 ** 31).toFixed(11);
}

function renderTarget(target: Target, family: IpFamily): string {
  switch (target.kind) {
    case "jump":
      return `-j ${target.chain}`;
    case "accept":
      return "-j ACCEPT";
    case "drop":
      return "-j DROP";
    case "return":
      return "-j RETURN";
    case "reject":
      return `-j REJECT --reject-with ${family === "ipv4" ? "icmp" : "icmp6"}-port-unreachable`;
    case "dnat":
      return `-j DNAT --to-destination ${target.to}`;
    case "masquerade":
      return target.randomFully ? "-j MASQUERADE --random-fully" : "-j MASQUERADE";
    case "mark":
      return `-j MARK --set-xmark ${hex(target.xor)}/${hex(target.clear)}`;
    case "none":
      return "";
    default:
      throw new TypeError(`unknown target ${JSON.stringify(target satisfies never)}`);
  }
}

/** iptables-save quotes what has other characters than these, and escapes quotes and backslashes. */
function quote(text: string): string {
  // A line break would end the rule in the restore input and begin another command.
  const safe = text.replace(/\p{Cc}/gu, "?");
  return /^[A-Za-z0-9_-]+$/.test(safe) ? safe : `"${safe.replace(/["\\']/g, "\\$&")}"`;
}

/** Splits as the tools do: words at spaces, double quotes group, a backslash takes the next character as it is. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let open = false;
  let inWord = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === "\\") {
      word += text.charAt(++i);
      inWord = true;
    } else if (char === '"') {
      open = !open;
      inWord = true;
    } else if (char === " " && !open) {
      if (inWord) words.push(word);
      word = "";
      inWord = false;
    } else {
      word += char;
      inWord = true;
    }
  }
  if (inWord) words.push(word);
  return words;
}

type Draft = { -readonly [K in keyof Rule]: Rule[K] };
const targets: Readonly<Record<string, Target>> = {
  ACCEPT: { kind: "accept" },
  DROP: { kind: "drop" },
  RETURN: { kind: "return" },
  REJECT: { kind: "reject" },
  MASQUERADE: { kind: "masquerade", randomFully: false },
};

/** The rule of a canonical text (without "-A CHAIN"), or undefined when it has a match or target outside our model. */
export function parseRule(text: string): Rule | undefined {
  const words = splitWords(text);
  const rule: Draft = { target: { kind: "none" } };
  let not = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "!") {
      not = true;
      continue;
    }
    if (word === "--reap" || word === "--rsource") continue;
    if (word === "--random-fully") {
      rule.target = { kind: "masquerade", randomFully: true };
      continue;
    }
    if (word === "--set") {
      rule.recent = { kind: "set", name: "" };
      continue;
    }
    if (word === "--rcheck") {
      rule.recent = { kind: "check", name: "", seconds: 0 };
      continue;
    }
    if (word === "--match-set") {
      const set = { name: words[i + 1] ?? "", directions: words[i + 2] ?? "" };
      rule.inSet = not ? { is: set, not } : { is: set };
      not = false;
      i += 2;
      continue;
    }
    const value = words[++i];
    if (value === undefined || !applyOption(rule, word, value, not)) return undefined;
    not = false;
  }
  return rule;
}

/** Adds one option to the draft; false when it is outside the model. */
function applyOption(rule: Draft, option: string, value: string, not: boolean): boolean {
  const is = <T>(v: T): Negatable<T> => (not ? { is: v, not: true } : { is: v });
  switch (option) {
    case "-s":
      rule.source = is(trimPrefix(value));
      return true;
    case "-d":
      rule.destination = is(trimPrefix(value));
      return true;
    case "-i":
      rule.inInterface = is(value);
      return true;
    case "-o":
      rule.outInterface = is(value);
      return true;
    case "-p":
      if (not || (value !== "tcp" && value !== "udp" && value !== "sctp")) return false;
      rule.protocol = value;
      return true;
    case "-m":
      return knownMatches.has(value);
    case "--comment":
      rule.comment = value;
      return true;
    case "--dport":
      if (not || !/^\d+$/.test(value)) return false;
      rule.destinationPort = Number(value);
      return true;
    case "--src-type":
      rule.sourceIsLocal = true;
      return value === "LOCAL" && !not;
    case "--dst-type":
      rule.destinationIsLocal = true;
      return value === "LOCAL" && !not;
    case "--ctstate":
      rule.conntrack = is(value.split(",") as ConntrackState[]);
      return true;
    case "--mark": {
      const [markValue = "", mask = "0xffffffff"] = value.split("/");
      rule.mark = is({ value: Number(markValue), mask: Number(mask) });
      return true;
    }
    default:
      return !not && applyExtension(rule, option, value);
  }
}

const knownMatches = new Set([
  "comment",
  "tcp",
  "udp",
  "sctp",
  "addrtype",
  "conntrack",
  "mark",
  "recent",
  "statistic",
  "set",
]);

function applyExtension(rule: Draft, option: string, value: string): boolean {
  switch (option) {
    case "--seconds":
      if (rule.recent?.kind !== "check") return false;
      rule.recent = { ...rule.recent, seconds: Number(value) };
      return true;
    case "--name":
      if (rule.recent === undefined) return false;
      rule.recent = { ...rule.recent, name: value };
      return true;
    case "--mask":
      return true;
    case "--mode":
      return value === "random";
    case "--probability":
      rule.oneIn = Math.round(1 / Number(value));
      return true;
    case "-j":
      rule.target = targets[value] ?? { kind: "jump", chain: value };
      return true;
    case "--reject-with":
      return /^icmp6?-port-unreachable$/.test(value);
    case "--to-destination":
      rule.target = { kind: "dnat", to: value };
      return true;
    case "--set-xmark": {
      const [xor = "", clear = ""] = value.split("/");
      rule.target = { kind: "mark", xor: Number(xor), clear: Number(clear) };
      return true;
    }
    default:
      return false;
  }
}

/** "10.0.0.1/32" is written "10.0.0.1" in the model. */
function trimPrefix(text: string): string {
  const prefix = parsePrefix(text);
  return prefix !== undefined && prefix.length === bitsOf(prefix.family) ? text.replace(/\/\d+$/, "") : text;
}
