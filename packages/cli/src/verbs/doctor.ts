/** `knarr doctor`: what is wrong with this machine or the cluster on it, why, and what to type. */
import type { Finding } from "@knarr/cluster/doctor/check.ts";
import { examine } from "@knarr/cluster/doctor/index.ts";
import type { Command } from "commander";
import { renderJson } from "../core/output.ts";
import { dataDirOf } from "../data-dir.ts";
import { type CliContext, CliError, type Verb } from "../verb.ts";

interface DoctorOptions {
  readonly dataDir?: string;
  readonly output?: string;
}

export const doctor: Verb = {
  name: "doctor",
  register(program, context) {
    program
      .command("doctor")
      .description("Find out what keeps a local cluster from coming up or staying well, and how to mend it")
      .option("--data-dir <path>", "where the cluster lives (default: $KNARR_DATA_DIR or /var/lib/knarr)")
      .option("-o, --output <format>", "json")
      .action((_options: unknown, command: Command) => runDoctor(command.optsWithGlobals<DoctorOptions>(), context));
  },
};

async function runDoctor(options: DoctorOptions, context: CliContext): Promise<void> {
  const { output } = options;
  if (output !== undefined && output !== "json") throw new CliError(`--output ${output}: must be json`);
  const show = (finding: Finding) => output === undefined && context.stdout.write(render(finding));
  const { env, signal } = context;
  const findings = await examine({ dataDir: dataDirOf(options, context), env, signal }, show);
  if (output === "json") context.stdout.write(renderJson(findings));
  const failures = findings.filter(({ verdict }) => verdict === "failure").length;
  const warnings = findings.filter(({ verdict }) => verdict === "warning").length;
  if (failures > 0) throw new CliError(`${failures} thing(s) to mend, ${warnings} warning(s)`);
  if (output === undefined) {
    context.stdout.write(warnings === 0 ? "Everything is well.\n" : `Nothing is broken; ${warnings} warning(s).\n`);
  }
}

const MARKS = { ok: "✔", warning: "!", failure: "✖" } as const;

function render({ subject, verdict, found, cause, fix }: Finding): string {
  const head = `${MARKS[verdict]} ${subject.padEnd(20)} ${found}\n`;
  return verdict === "ok" ? head : `${head}  because  ${cause}\n  do       ${fix}\n`;
}
