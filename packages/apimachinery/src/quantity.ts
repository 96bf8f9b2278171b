/**
 * Kubernetes quantities: exact decimal arithmetic on BigInt, canonical text, rounding as Go's resource.Quantity.
 * Source: k8s.io/apimachinery/pkg/api/resource/quantity.go
 *
 * A value is `nanos` (units of 10^-9, the finest that is kept; finer input rounds up, away from zero) and the family of suffixes
 * it was written in. Canonical text has no fraction, at most three digits before the largest possible suffix:
 *   "1000m" -> "1"    "0.5" -> "500m"    "1536Mi" -> "1536Mi"    "1024Mi" -> "1Gi"    "1e3" -> "1e3"    "1000" -> "1k"
 */
export type QuantityFormat = "BinarySI" | "DecimalSI" | "DecimalExponent";

export class QuantityError extends Error {
  constructor() {
    super("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    this.name = "QuantityError";
  }
}

const NANO = 1_000_000_000n;
/** Amounts are capped at 2^63-1, as upstream. */
const MAX_NANOS = (2n ** 63n - 1n) * NANO;

const BINARY: readonly (readonly [suffix: string, factor: bigint])[] = [
  ["Ei", 2n ** 60n],
  ["Pi", 2n ** 50n],
  ["Ti", 2n ** 40n],
  ["Gi", 2n ** 30n],
  ["Mi", 2n ** 20n],
  ["Ki", 2n ** 10n],
];
const DECIMAL: readonly (readonly [suffix: string, exponent: number])[] = [
  ["E", 18],
  ["P", 15],
  ["T", 12],
  ["G", 9],
  ["M", 6],
  ["k", 3],
  ["", 0],
  ["m", -3],
  ["u", -6],
  ["n", -9],
];
const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d{1,4})?$/;

export interface Quantity {
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

/** Throws QuantityError, whose message is upstream's. */
export function parseQuantity(text: string): Quantity {
  const match = PATTERN.exec(text);
  const whole = match?.[2] ?? "";
  const fraction = match?.[3] ?? "";
  if (match === null || whole + fraction === "") throw new QuantityError();
  const suffix = match[4] ?? "";
  const negative = match[1] === "-";
  const digits = BigInt(whole + fraction);
  const binary = BINARY.find(([name]) => name === suffix);
  let magnitude: bigint;
  let format: QuantityFormat;
  if (binary !== undefined) {
    magnitude = divideUp(digits * binary[1] * NANO, 10n ** BigInt(fraction.length));
    format = "BinarySI";
  } else {
    const decimal = DECIMAL.find(([name]) => name === suffix);
    const exponent = (decimal?.[1] ?? Number(suffix.slice(1))) - fraction.length + 9;
    magnitude =
      exponent >= 0 ? digits * 10n ** BigInt(Math.min(exponent, 60)) : divideUp(digits, 10n ** BigInt(-exponent));
    format = decimal === undefined ? "DecimalExponent" : "DecimalSI";
  }
  const capped = magnitude > MAX_NANOS ? MAX_NANOS : magnitude;
  return { nanos: negative ? -capped : capped, format };
}

/** Whether `text` is a quantity. */
export function isQuantity(text: string): boolean {
  const match = PATTERN.exec(text);
  return match !== null && (match[2] ?? "") + (match[3] ?? "") !== "";
}

export function formatQuantity({ nanos, format }: Quantity): string {
  if (nanos === 0n) return "0";
  const sign = nanos < 0n ? "-" : "";
  const magnitude = nanos < 0n ? -nanos : nanos;
  // Binary suffixes say nothing about fractions and small numbers: those fall back to decimal ones.
  if (format === "BinarySI" && magnitude >= 1024n * NANO && magnitude % NANO === 0n) {
    const units = magnitude / NANO;
    for (const [suffix, factor] of BINARY) {
      if (units % factor === 0n) return `${sign}${units / factor}${suffix}`;
    }
    return `${sign}${units}`;
  }
  if (format === "BinarySI" && magnitude % NANO === 0n) return `${sign}${magnitude / NANO}`;
  let digits = magnitude;
  let exponent = -9;
  while (digits % 1000n === 0n && exponent < 18) {
    digits /= 1000n;
    exponent += 3;
  }
  if (format === "DecimalExponent") return exponent === 0 ? `${sign}${digits}` : `${sign}${digits}e${exponent}`;
  return `${sign}${digits}${DECIMAL.find(([, e]) => e === exponent)?.[0] ?? ""}`;
}

/** The text as upstream stores it; numbers are taken as decimal text. Throws QuantityError. */
export function canonicalQuantity(text: string | number): string {
  return formatQuantity(parseQuantity(String(text)));
}

/** Compares by value: "1" equals "1000m". Throws QuantityError. */
export function compareQuantities(a: string, b: string): -1 | 0 | 1 {
  const difference = parseQuantity(a).nanos - parseQuantity(b).nanos;
  if (difference === 0n) return 0;
  return difference < 0n ? -1 : 1;
}

/** The sum in the format of `a`, or of `b` when `a` is zero. Throws QuantityError. */
export function addQuantities(a: string, b: string): string {
  const x = parseQuantity(a);
  const y = parseQuantity(b);
  return formatQuantity({ nanos: x.nanos + y.nanos, format: x.nanos === 0n ? y.format : x.format });
}

/** The difference in the format of `a`, or of `b` when `a` is zero. Throws QuantityError. */
export function subtractQuantities(a: string, b: string): string {
  const x = parseQuantity(a);
  const y = parseQuantity(b);
  return formatQuantity({ nanos: x.nanos - y.nanos, format: x.nanos === 0n ? y.format : x.format });
}

/** Whole units (bytes, pieces), rounded up. Throws QuantityError. */
export function quantityValue(text: string): number {
  return scaledUp(text, NANO);
}

/** Thousandths, rounded up: CPU in millicores. Throws QuantityError. */
export function cpuMillis(text: string): number {
  return scaledUp(text, 1_000_000n);
}

function scaledUp(text: string, unit: bigint): number {
  const { nanos } = parseQuantity(text);
  return nanos >= 0n ? Number(divideUp(nanos, unit)) : -Number(-nanos / unit);
}

function divideUp(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}
