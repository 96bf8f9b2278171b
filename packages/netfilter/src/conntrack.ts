/**
 * The kernel's connection table, as far as stale UDP flows need it: a UDP client that goes on sending keeps its old
 * translation alive for ever, so flows to endpoints that are gone must be removed by hand.
 */

import type { IpFamily } from "./ip.ts";
import { parseIp } from "./ip.ts";
import type { Protocol } from "./rule.ts";
import { CommandError, runCommand } from "./run-command.ts";

/** One connection, seen from its first packet. */
export interface ConntrackFlow {
  readonly protocol: Protocol;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** Who answers: the translated destination, or the destination itself when nothing was translated. */
  readonly replySource: string;
  readonly replySourcePort: number;
}

/** Reads `conntrack -L` output. Source: conntrack(8); the first of each pair is the original direction. */
export function parseConntrackList(text: string): ConntrackFlow[] {
  const flows: ConntrackFlow[] = [];
  for (const line of text.split("\n")) {
    const protocol = /^(tcp|udp|sctp)\s/.exec(line)?.[1] as Protocol | undefined;
    if (protocol === undefined) continue;
    const values = (key: string) => [...line.matchAll(new RegExp(`\\b${key}=(\\S+)`, "g"))].map((m) => m[1] ?? "");
    const [source = "", replySource = ""] = values("src");
    const [destination = ""] = values("dst");
    const [sourcePort = "", replySourcePort = ""] = values("sport");
    const [destinationPort = ""] = values("dport");
    if (parseIp(source) === undefined || replySource === "") continue;
    flows.push({
      protocol,
      source,
      sourcePort: Number(sourcePort),
      destination,
      destinationPort: Number(destinationPort),
      replySource,
      replySourcePort: Number(replySourcePort),
    });
  }
  return flows;
}

/** All flows of a protocol. Rejects with a CommandError when the tool is missing. */
export async function listFlows(protocol: Protocol, family: IpFamily, signal?: AbortSignal): Promise<ConntrackFlow[]> {
  const result = await runCommand(
    "conntrack",
    ["-L", "-f", family, "-p", protocol],
    signal === undefined ? {} : { signal },
  );
  if (result.code !== 0) throw new CommandError("conntrack -L", "failed", result);
  return parseConntrackList(result.stdout);
}

/** All flows with the same destination and the same answerer, whoever the client. */
export type FlowClass = Pick<
  ConntrackFlow,
  "protocol" | "destination" | "destinationPort" | "replySource" | "replySourcePort"
>;

/** Removes the flows of a class and tells how many there were; that they are already gone is no error. */
export async function deleteFlows(flows: FlowClass, family: IpFamily, signal?: AbortSignal): Promise<number> {
  const args = ["-D", "-f", family, "-p", flows.protocol];
  args.push("--orig-dst", flows.destination, "--orig-port-dst", String(flows.destinationPort));
  args.push("--reply-src", flows.replySource, "--reply-port-src", String(flows.replySourcePort));
  const result = await runCommand("conntrack", args, signal === undefined ? {} : { signal });
  const deleted = /(\d+) flow entries have been deleted/.exec(result.stderr)?.[1];
  if (deleted === undefined) throw new CommandError("conntrack -D", "failed", result);
  return Number(deleted);
}
