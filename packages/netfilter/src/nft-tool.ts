/** The nft program, for one table: read it, change it in one transaction, remove it. */
import type { IpFamily } from "./ip.ts";
import { type NftActual, parseNftTable } from "./nft-state.ts";
import { CommandError, runChecked, runCommand } from "./run-command.ts";

export class NftTool {
  readonly family: IpFamily;
  readonly table: string;

  constructor(family: IpFamily, table: string) {
    this.family = family;
    this.table = table;
  }

  get #family(): "ip" | "ip6" {
    return this.family === "ipv4" ? "ip" : "ip6";
  }

  /**
   * Whether program and kernel can do all of a script, which is checked and not applied. Rejects for no reason but the
   * signal.
   */
  async accepts(script: string, signal?: AbortSignal): Promise<boolean> {
    try {
      const options = { input: script, ...(signal === undefined ? {} : { signal }) };
      return (await runCommand("nft", ["--check", "-f", "-"], options)).code === 0;
    } catch (error) {
      if (error instanceof CommandError) return false;
      throw error;
    }
  }

  async exists(signal?: AbortSignal): Promise<boolean> {
    const text = await this.#run(["-j", "list", "tables", this.#family], signal);
    const { nftables } = JSON.parse(text) as { nftables: readonly { readonly table?: { readonly name: string } }[] };
    return nftables.some(({ table }) => table?.name === this.table);
  }

  /** Undefined when the table does not exist. Rejects with a CommandError. */
  async read(signal?: AbortSignal): Promise<NftActual | undefined> {
    if (!(await this.exists(signal))) return undefined;
    return parseNftTable(await this.#run(["-j", "list", "table", this.#family, this.table], signal));
  }

  /** Applies all of the script or nothing. Rejects with a CommandError. */
  async apply(script: string, signal?: AbortSignal): Promise<void> {
    await runChecked("nft", ["-f", "-"], { input: script, ...(signal === undefined ? {} : { signal }) });
  }

  /** Tells whether there was a table to remove. */
  async remove(signal?: AbortSignal): Promise<boolean> {
    if (!(await this.exists(signal))) return false;
    await this.#run(["delete", "table", this.#family, this.table], signal);
    return true;
  }

  #run(args: readonly string[], signal?: AbortSignal): Promise<string> {
    return runChecked("nft", args, signal === undefined ? {} : { signal });
  }
}
