/** The ipvsadm program: reads the virtual servers of this network namespace, and applies many changes at once. */

import { parseIpvs, parseIpvsConnections, type ServerConnections, type VirtualServer } from "./ipvs.ts";
import { CommandError, runChecked, runCommand } from "./run-command.ts";

export class IpvsTool {
  /** Rejects with a CommandError. */
  async read(signal?: AbortSignal): Promise<Map<string, VirtualServer>> {
    return parseIpvs(await this.#run(["--save", "--numeric"], signal));
  }

  async readConnections(signal?: AbortSignal): Promise<Map<string, Map<string, ServerConnections>>> {
    return parseIpvsConnections(await this.#run(["--list", "--numeric"], signal));
  }

  /** All lines are tried; rejects with a CommandError when one failed. */
  async restore(lines: readonly string[], signal?: AbortSignal): Promise<void> {
    if (lines.length === 0) return;
    const input = `${lines.join("\n")}\n`;
    const result = await runCommand("ipvsadm", ["--restore"], { input, ...(signal === undefined ? {} : { signal }) });
    // Its exit code is the last line's only; what failed before is told on standard error.
    if (result.code !== 0 || result.stderr.trim() !== "") throw new CommandError("ipvsadm --restore", "failed", result);
  }

  /** Zero leaves a timeout as it is. */
  async setTimeouts(
    seconds: { readonly tcp: number; readonly tcpFin: number; readonly udp: number },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#run(["--set", ...[seconds.tcp, seconds.tcpFin, seconds.udp].map(String)], signal);
  }

  /** Tries to make a virtual server with the scheduler, on an address of no one's. Resolves with why it can't be. */
  async problemWith(scheduler: string, signal?: AbortSignal): Promise<string | undefined> {
    const probe = "198.51.100.0:20000"; // Source: RFC 5737, addresses for documentation.
    try {
      await this.restore([`-A -t ${probe} -s ${scheduler}`, `-D -t ${probe}`], signal);
      return undefined;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      if (error.reason === "missing") return "the program ipvsadm is not installed";
      return error.stderr.trim().split("\n")[0] ?? error.message;
    }
  }

  #run(args: readonly string[], signal?: AbortSignal): Promise<string> {
    return runChecked("ipvsadm", args, signal === undefined ? {} : { signal });
  }
}
