/** Go durations: "1h30m", "1.5s", "100ms". Exact, in nanoseconds. Source: Go time.ParseDuration, Duration.String */
import { quoteGo } from "./go-text.ts";

export class DurationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "DurationError";
  }
}

const UNIT_NANOS: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["\u00b5s", 1_000n],
  ["\u03bcs", 1_000n],
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
]);
const TERM = /^(\d*)(?:\.(\d*))?([^.\d]*)/;
/** Nobody means more; upstream refuses what does not fit 64 bits. */
const MAX_LENGTH = 200;
const LIMIT = 2n ** 63n;

/** Nanoseconds. Throws DurationError in Go's words. */
export function parseDuration(text: string): bigint {
  const invalid = () => new DurationError(`time: invalid duration ${quoteGo(text)}`);
  if (text.length > MAX_LENGTH) throw invalid();
  const isNegative = text.startsWith("-");
  let rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return 0n;
  if (rest === "") throw invalid();
  let total = 0n;
  while (rest !== "") {
    const [term = "", whole = "", fraction = "", unit = ""] = TERM.exec(rest) ?? [];
    if (whole + fraction === "") throw invalid();
    if (unit === "") throw new DurationError(`time: missing unit in duration ${quoteGo(text)}`);
    const nanos = UNIT_NANOS.get(unit);
    if (nanos === undefined)
      throw new DurationError(`time: unknown unit ${quoteGo(unit)} in duration ${quoteGo(text)}`);
    total += (BigInt(whole + fraction) * nanos) / 10n ** BigInt(fraction.length);
    rest = rest.slice(term.length);
  }
  if (total > LIMIT || (total === LIMIT && !isNegative)) throw invalid();
  return isNegative ? -total : total;
}

/** Milliseconds, with fractions. Throws DurationError. */
export function parseDurationMs(text: string): number {
  return Number(parseDuration(text)) / 1e6;
}

/** "1h0m0s", "1m30s", "1.5s", "100ms", "0s": as Go prints it, and the API stores it. */
export function formatDuration(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return "0s";
  const sign = nanoseconds < 0n ? "-" : "";
  const nanos = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  if (nanos < 1_000n) return `${sign}${nanos}ns`;
  if (nanos < 1_000_000n) return `${sign}${decimal(nanos, 3)}\u00b5s`;
  if (nanos < 1_000_000_000n) return `${sign}${decimal(nanos, 6)}ms`;
  const minutes = nanos / 60_000_000_000n;
  const seconds = `${decimal(nanos % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return `${sign}${seconds}`;
  const hours = minutes / 60n;
  return `${sign}${hours === 0n ? "" : `${hours}h`}${minutes % 60n}m${seconds}`;
}

/** value / 10^digits without trailing zeros. */
function decimal(value: bigint, digits: number): string {
  const text = String(value).padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  return fraction === "" ? text.slice(0, -digits) : `${text.slice(0, -digits)}.${fraction}`;
}
