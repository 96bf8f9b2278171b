/**
 * Sets of addresses and ports in the kernel (ipset): what iptables rules match against, so that their number stays the
 * same however many Services there are. Texts are `ipset save`'s, so that wanted and actual entries compare as strings.
 */
import type { IpFamily } from "./ip.ts";

export const ipSetTypes = ["hash:ip", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "bitmap:port"] as const;
export type IpSetType = (typeof ipSetTypes)[number];

export interface IpSet {
  readonly type: IpSetType;
  readonly entries: ReadonlySet<string>;
}

/** What a set must have and must not have any more. */
export interface IpSetChange {
  readonly deleted: readonly string[];
  readonly added: Iterable<string>;
}

/** The kernel's own default, 65536, is too small for the endpoints of a large cluster; memory is taken as entries come. */
const MAX_ENTRIES = 1_048_576;

/** Reads `ipset save`: the sets of the types that we know, by name. */
export function parseIpSets(text: string): Map<string, IpSet> {
  const sets = new Map<string, { type: IpSetType; entries: Set<string> }>();
  for (const line of text.split("\n")) {
    const [verb, name = "", rest = ""] = line.split(" ");
    if (verb === "create" && (ipSetTypes as readonly string[]).includes(rest)) {
      sets.set(name, { type: rest as IpSetType, entries: new Set() });
    } else if (verb === "add") {
      sets.get(name)?.entries.add(rest);
    }
  }
  return sets;
}

export function renderIpSetCreate(name: string, type: IpSetType, family: IpFamily): string {
  if (type === "bitmap:port") return `create ${name} ${type} range 0-65535`;
  return `create ${name} ${type} family ${family === "ipv4" ? "inet" : "inet6"} maxelem ${MAX_ENTRIES}`;
}

export function renderIpSetAdds(name: string, change: IpSetChange): string[] {
  return [...change.added].map((entry) => `add ${name} ${entry}`);
}

export function renderIpSetDeletes(name: string, change: IpSetChange): string[] {
  return change.deleted.map((entry) => `del ${name} ${entry}`);
}

export function diffIpSet(actual: ReadonlySet<string>, wanted: ReadonlySet<string>): IpSetChange {
  return { deleted: [...actual.difference(wanted)], added: wanted.difference(actual) };
}
