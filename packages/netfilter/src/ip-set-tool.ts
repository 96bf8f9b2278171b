/** The ipset program: reads sets, and applies many changes at once. */
import { type IpSet, parseIpSets } from "./ip-set.ts";
import { runChecked } from "./run-command.ts";

export class IpSetTool {
  /** Rejects with a CommandError. */
  async read(signal?: AbortSignal): Promise<Map<string, IpSet>> {
    return parseIpSets(await runChecked("ipset", ["save"], signal === undefined ? {} : { signal }));
  }

  /**
   * Lines of `create`, `add`, `del` and `destroy`, in their order; what is there (or gone) already is no failure. One that
   * fails leaves those before it done. Rejects with a CommandError.
   */
  async restore(lines: readonly string[], signal?: AbortSignal): Promise<void> {
    if (lines.length === 0) return;
    const input = `${lines.join("\n")}\n`;
    await runChecked("ipset", ["restore", "-exist"], { input, ...(signal === undefined ? {} : { signal }) });
  }
}
