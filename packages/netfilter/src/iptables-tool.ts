/**
 * The iptables programs of one front end (nft or legacy) and one address family: save, restore. The tools do their own
 * waiting: restores wait for the xtables lock, and the nft front end repeats a transaction that met another.
 */
import type { IpFamily } from "./ip.ts";
import { parseSave, type TableTexts } from "./iptables-state.ts";
import { CommandError, runChecked, runCommand } from "./run-command.ts";

export type IptablesMode = "nft" | "legacy" | "default";

/** How long a restore waits for another program's lock. Source: upstream's util/iptables WaitSecondsValue. */
const LOCK_WAIT_SECONDS = 5;

export class IptablesTool {
  readonly family: IpFamily;
  readonly mode: IptablesMode;

  constructor(family: IpFamily, mode: IptablesMode) {
    this.family = family;
    this.mode = mode;
  }

  #program(verb: "save" | "restore"): string {
    const base = this.family === "ipv4" ? "iptables" : "ip6tables";
    return this.mode === "default" ? `${base}-${verb}` : `${base}-${this.mode}-${verb}`;
  }

  /** Whether this front end works here: the program exists and the kernel answers it. */
  async works(signal?: AbortSignal): Promise<boolean> {
    try {
      const result = await runCommand(this.#program("save"), ["-t", "nat"], signal === undefined ? {} : { signal });
      return result.code === 0;
    } catch (error) {
      if (error instanceof CommandError) return false;
      throw error;
    }
  }

  /** The tables nat and filter, and mangle when the kernel has it. Rejects with a CommandError. */
  async read(signal?: AbortSignal): Promise<TableTexts> {
    return parseSave(await runChecked(this.#program("save"), [], signal === undefined ? {} : { signal }));
  }

  /** Applies all of `input` or, per table, nothing of it. Rejects with a CommandError; exit code 4 is a lost lock. */
  async restore(input: string, signal?: AbortSignal): Promise<void> {
    const args = ["--noflush", "-w", String(LOCK_WAIT_SECONDS)];
    await runChecked(this.#program("restore"), args, { input, ...(signal === undefined ? {} : { signal }) });
  }
}

/**
 * Which front end this host's other tools use, so that all rules live in one place.
 * Source: sig-network iptables-wrappers: the kubelet's hint chain decides, else the side with more rules, else nft.
 */
export async function detectIptablesMode(signal?: AbortSignal): Promise<IptablesMode> {
  const saved = async (mode: IptablesMode, args: readonly string[]) => {
    const texts: string[] = [];
    for (const program of [`iptables-${mode}-save`, `ip6tables-${mode}-save`]) {
      try {
        const { code, stdout } = await runCommand(program, args, signal === undefined ? {} : { signal });
        if (code === 0) texts.push(stdout);
      } catch (error) {
        // A front end that is not installed holds no rules.
        if (!(error instanceof CommandError)) throw error;
      }
    }
    return texts.length === 0 ? undefined : texts.join("\n");
  };
  const hint = /^:(?:KUBE-IPTABLES-HINT|KUBE-KUBELET-CANARY) /m;
  const countRules = (text: string | undefined) => text?.match(/^-A /gm)?.length ?? 0;
  for (const mode of ["nft", "legacy"] as const) {
    if (hint.test((await saved(mode, ["-t", "mangle"])) ?? "")) return mode;
  }
  const nft = await saved("nft", []);
  const legacy = await saved("legacy", []);
  if (nft === undefined) return legacy === undefined ? "default" : "legacy";
  return countRules(legacy) > countRules(nft) ? "legacy" : "nft";
}
