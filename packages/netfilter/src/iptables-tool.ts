/**
 * The iptables programs of one front end (nft or legacy) and one address family: save, restore. The tools do their own
 * waiting: restores wait for the xtables lock, and the nft front end repeats a transaction that met another.
 */
import { readFile } from "node:fs/promises";
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
 * Whether the legacy front end has tables in this network namespace. Asking it for a table would make that table, with
 * its hooks in every packet's way, so the kernel is asked instead.
 */
export async function hasLegacyTables(family: IpFamily): Promise<boolean> {
  try {
    return (await readFile(`/proc/net/${family === "ipv4" ? "ip" : "ip6"}_tables_names`, "utf8")).trim() !== "";
  } catch (error) {
    // A kernel without the legacy tables has no such file.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/**
 * Which front end this host's other tools use, so that all rules live in one place.
 * Source: sig-network iptables-wrappers: the kubelet's hint chain decides, else the side with more rules, else nft.
 */
export async function detectIptablesMode(signal?: AbortSignal): Promise<IptablesMode> {
  const nft = await savedBy("nft", signal);
  const legacy = await savedBy("legacy", signal);
  const hint = /^:(?:KUBE-IPTABLES-HINT|KUBE-KUBELET-CANARY) /m;
  if (nft !== undefined && hint.test(nft)) return "nft";
  if (legacy !== undefined && hint.test(legacy)) return "legacy";
  if (nft === undefined) return legacy === undefined ? "default" : "legacy";
  const countRules = (text: string) => text.match(/^-A /gm)?.length ?? 0;
  return countRules(legacy ?? "") > countRules(nft) ? "legacy" : "nft";
}

/** The rules that a front end has, of both families; undefined when it is not installed or does not work. */
async function savedBy(mode: "nft" | "legacy", signal?: AbortSignal): Promise<string | undefined> {
  const texts: string[] = [];
  for (const family of ["ipv4", "ipv6"] as const) {
    const program = `${family === "ipv4" ? "iptables" : "ip6tables"}-${mode}-save`;
    const onlyVersion = mode === "legacy" && !(await hasLegacyTables(family));
    try {
      const options = signal === undefined ? {} : { signal };
      const { code, stdout } = await runCommand(program, onlyVersion ? ["--version"] : [], options);
      if (code === 0) texts.push(onlyVersion ? "" : stdout);
    } catch (error) {
      // A front end that is not installed holds no rules.
      if (!(error instanceof CommandError)) throw error;
    }
  }
  return texts.length === 0 ? undefined : texts.join("\n");
}

/** Every front end and family that holds rules here, for clean-ups. */
export async function toolsWithRules(signal?: AbortSignal): Promise<IptablesTool[]> {
  const tools: IptablesTool[] = [];
  for (const mode of ["nft", "legacy"] as const) {
    for (const family of ["ipv4", "ipv6"] as const) {
      if (mode === "legacy" && !(await hasLegacyTables(family))) continue;
      const tool = new IptablesTool(family, mode);
      if (await tool.works(signal)) tools.push(tool);
    }
  }
  return tools;
}
