/**
 * JSON lines on standard error through pino. Messages are constant strings; what varies goes into fields.
 */
import { type DestinationStream, destination, type Logger, pino } from "pino";

export type { Logger } from "pino";

export interface LoggerOptions {
  /** The component: "kubelet", "kube-scheduler". */
  readonly name: string;
  /** pino's level names; "info" when absent. */
  readonly level?: string;
  /** klog's `-v`: 0-2 is info, 3-4 debug, 5 and more trace. Ignored when `level` is given. */
  readonly verbosity?: number;
  /** Where lines go; standard error when absent. */
  readonly stream?: DestinationStream;
}

/** Fields that must never be written, whatever object they arrive in. */
const SECRET_PATHS = [
  "token",
  "password",
  "authorization",
  "*.token",
  "*.password",
  "*.authorization",
  "*.Authorization",
];

/** klog's verbosity as a pino level. Source: k8s.io community sig-instrumentation logging conventions. */
export function levelOfVerbosity(verbosity: number): string {
  if (verbosity >= 5) return "trace";
  return verbosity >= 3 ? "debug" : "info";
}

export function createLogger(options: LoggerOptions): Logger {
  const level = options.level ?? levelOfVerbosity(options.verbosity ?? 0);
  return pino(
    {
      name: options.name,
      level,
      redact: { paths: SECRET_PATHS, censor: "[redacted]" },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.stream ?? destination({ fd: 2, sync: true }),
  );
}

/** A logger that writes nothing, for tests and for callers who want silence. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
