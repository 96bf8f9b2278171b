/**
 * The dummy interface that makes the Services' addresses the node's own. It stays down, so that it announces nothing and
 * leads nowhere; addresses on it are local all the same.
 */
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import { CommandError, runChecked, runCommand } from "@knarr/netfilter/run-command.ts";

export class DummyInterface {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  async exists(signal: AbortSignal): Promise<boolean> {
    return (await runCommand("ip", ["link", "show", "dev", this.name], { signal })).code === 0;
  }

  async ensure(signal: AbortSignal): Promise<void> {
    if (await this.exists(signal)) return;
    await runChecked("ip", ["link", "add", this.name, "type", "dummy"], { signal });
  }

  /** Tells whether there was one to remove. */
  async remove(signal: AbortSignal): Promise<boolean> {
    if (!(await this.exists(signal))) return false;
    await runChecked("ip", ["link", "delete", this.name], { signal });
    return true;
  }

  async addresses(family: IpFamily, signal: AbortSignal): Promise<Set<string>> {
    const args = [flagOf(family), "-oneline", "address", "show", "dev", this.name, "scope", "global"];
    const text = await runChecked("ip", args, { signal });
    return new Set([...text.matchAll(/ inet6? ([^\s/]+)/g)].map((match) => match[1] ?? ""));
  }

  /** What is there (or gone) already is no failure. Rejects with a CommandError when any of it failed. */
  async change(
    family: IpFamily,
    { added, deleted }: { readonly added: Iterable<string>; readonly deleted: Iterable<string> },
    signal: AbortSignal,
  ): Promise<void> {
    const length = family === "ipv4" ? 32 : 128;
    // An IPv6 address is usable at once only without the search for a duplicate.
    const flags = family === "ipv4" ? "" : " nodad";
    const lines = [
      ...[...added].map((address) => `address replace ${address}/${length} dev ${this.name}${flags}`),
      ...[...deleted].map((address) => `address delete ${address}/${length} dev ${this.name}`),
    ];
    if (lines.length === 0) return;
    const input = `${lines.join("\n")}\n`;
    const result = await runCommand("ip", [flagOf(family), "-force", "-batch", "-"], { input, signal });
    if (result.code === 0) return;
    const failures = result.stderr.split("\n").filter((line) => line.startsWith("RTNETLINK answers"));
    const harmless = failures.every((line) => line.endsWith("Cannot assign requested address"));
    if (!harmless) throw new CommandError(`ip -batch for ${this.name}`, "failed", result);
  }
}

function flagOf(family: IpFamily): "-4" | "-6" {
  return family === "ipv4" ? "-4" : "-6";
}
