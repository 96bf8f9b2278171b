/**
 * `npm run bench:start`: the first minutes of a user, in the phases of the public time-to-k8s benchmark, and how long the
 * command line takes to its first output.
 *
 *   --rounds N   clusters started one after the other (3); medians are printed; 0 leaves them out
 *   --compose    besides, `docker compose up` on an engine of its own (builds the image first: minutes; KNARR_COMPOSE_FOLDER
 *                keeps it for the next time)
 *   --json FILE
 *
 * Root, a quiet machine, hyperfine and kubectl on the path. The yardstick of the command line is kubectl in the same run.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { medianOf } from "./bench/result.ts";
import { type CommandTime, measureCommands } from "./bench/start/command-line.ts";
import { type FirstMinutes, measureCompose, measureUp, PHASES } from "./bench/start/first-minutes.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, compose: { type: "boolean" }, json: { type: "string" } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 0)
  throw new Error(`--rounds ${values.rounds}: must be a whole number from 0`);
const say = (text: string) => process.stdout.write(`${text}\n`);
const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`.padStart(9);

function report(title: string, found: FirstMinutes): void {
  say(`\n${title}`);
  for (const phase of PHASES) say(`  ${phase.padEnd(34)} ${seconds(found.phasesMs[phase])}`);
  say(
    `  control plane when idle            ${Math.round(found.controlPlaneBytes / 2 ** 20)} MiB, ${found.controlPlaneMillis} thousandths of a core`,
  );
  say(
    `  everything when idle               ${Math.round(found.totalBytes / 2 ** 20)} MiB, ${found.totalMillis} thousandths of a core`,
  );
}

const all: FirstMinutes[] = [];
let commands: readonly CommandTime[] = [];
for (let round = 1; round <= rounds; round++) {
  say(`round ${round} of ${rounds}: knarr up`);
  const atTheEnd = async (kubeconfig: string) => {
    commands = await measureCommands(kubeconfig);
  };
  all.push(await measureUp(round === rounds ? atTheEnd : undefined));
}
const up = rounds === 0 ? undefined : medianOf(all);
if (up !== undefined) report(`knarr up, two nodes, images present (median of ${rounds}; from the command's start)`, up);
const compose = values.compose === true ? await measureCompose(say) : undefined;
if (compose !== undefined) report("docker compose up, two nodes, image built", compose);
if (commands.length > 0) say("\ncommand line against a warm local server (hyperfine, mean ± σ)");
for (const { name, meanMs, stddevMs } of commands) {
  say(`  ${name.padEnd(34)} ${meanMs.toFixed(0).padStart(5)} ms ± ${stddevMs.toFixed(0)}`);
}
if (values.json !== undefined)
  await writeFile(values.json, `${JSON.stringify({ up, compose, commands }, undefined, 2)}\n`);
