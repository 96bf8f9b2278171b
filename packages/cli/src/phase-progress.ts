/** How far bringing up a cluster or a node has come. */
import type { UpProgress } from "@knarr/cluster/up.ts";
import type { CliContext } from "./verb.ts";

/** On a terminal one line per phase that fills while it runs; elsewhere a line when it is done. */
export function showProgress({ stdout }: CliContext): UpProgress {
  const isTerminal = stdout.isTTY === true;
  const line = (mark: string, phase: string, text: string) => `${mark} ${phase.padEnd(14)} ${text}`;
  const width = () => Math.max(20, (stdout.columns ?? 80) - 1);
  const redraw = (text: string) => stdout.write(`\r\x1b[K${text.slice(0, width())}`);
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  return {
    start: (phase) => void (isTerminal && redraw(line("·", phase, ""))),
    note: (phase, text) => void (isTerminal && redraw(line("·", phase, text))),
    done: (phase, ms) => {
      if (isTerminal) redraw("");
      stdout.write(`${line("✔", phase, seconds(ms))}\n`);
    },
    failed: (phase, ms) => {
      if (isTerminal) redraw("");
      stdout.write(`${line("✖", phase, seconds(ms))}\n`);
    },
  };
}
