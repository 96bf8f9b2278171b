/**
 * The outermost frame of every daemon: flags, logger, signals, exit code. `main.ts` calls it and does nothing else.
 *
 * Exit codes: 0 stopped as asked, 1 usage error or the daemon failed, 255 a bug (uncaught exception).
 */
import { type Clock, systemClock } from "./clock.ts";
import {
  boolFlag,
  type FlagProgram,
  type FlagTable,
  type FlagValues,
  intFlag,
  parseFlags,
  UsageError,
} from "./flags.ts";
import { createLogger, type Logger } from "./logger.ts";

export interface DaemonContext {
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface DaemonProgram<F extends FlagTable> extends FlagProgram<F> {
  /** How long an orderly stop may take before the process leaves anyway; 30 s when absent. */
  readonly stopTimeoutMs?: number;
  /** Resolves when the daemon has stopped after `context.signal`; a rejection ends the process with code 1. */
  readonly run: (values: FlagValues<F>, context: DaemonContext) => Promise<void>;
}

/** Flags that every daemon has. Source: k8s.io/component-base logs and feature gates. */
const commonFlags = {
  v: intFlag({ help: "number for the log level verbosity", name: "v", short: "v", default: 0, min: 0, max: 10 }),
  logtostderr: boolFlag({ help: "accepted for compatibility; logs always go to standard error", default: true }),
} as const;
const commonIgnored = ["--feature-gates", "--logging-format", "--vmodule", "--profiling", "--contention-profiling"];

/** Runs a daemon until it stops, then exits the process; never returns. */
export async function runDaemon<F extends FlagTable>(
  program: DaemonProgram<F>,
  argv: readonly string[],
): Promise<never> {
  const flags = { ...commonFlags, ...program.flags };
  let parsed: ReturnType<typeof parseFlags<typeof flags>>;
  try {
    parsed = parseFlags({ ...program, flags, ignored: [...commonIgnored, ...(program.ignored ?? [])] }, argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (error.exitCode !== 0)
      process.stderr.write(`${program.name}: ${error.message}\nSee '${program.name} --help'.\n`);
    process.exit(error.exitCode);
  }
  const values = parsed.values as FlagValues<F> & { v: number };
  const log = createLogger({ name: program.name, verbosity: values.v });
  for (const flag of parsed.ignored) log.warn({ flag }, "flag has no effect here");
  process.exit(await superviseRun(program, values, log));
}

async function superviseRun<F extends FlagTable>(
  program: DaemonProgram<F>,
  values: FlagValues<F>,
  log: Logger,
): Promise<number> {
  const controller = new AbortController();
  const fatal = (error: unknown) => {
    log.fatal({ err: error }, "uncaught exception");
    process.exit(255);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(1);
    log.info({ signal: name }, "stopping");
    controller.abort(new DOMException(`stopped by ${name}`, "AbortError"));
    setTimeout(() => {
      log.error("did not stop in time");
      process.exit(1);
    }, program.stopTimeoutMs ?? 30_000).unref();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    await program.run(values, { signal: controller.signal, log, clock: systemClock });
    return 0;
  } catch (error) {
    if (controller.signal.aborted && error === controller.signal.reason) return 0;
    if (error instanceof UsageError) process.stderr.write(`${program.name}: ${error.message}\n`);
    log.fatal({ err: error }, "daemon failed");
    return 1;
  }
}
