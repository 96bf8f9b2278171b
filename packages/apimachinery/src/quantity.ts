/**
 * Kubernetes quantities: exact decimal arithmetic on BigInt, canonical text, rounding as Go's resource.Quantity.
 * Source: k8s.io/apimachinery/pkg/api/resource/quantity.go
 *
 * A value is `nanos` (units of 10^-9, the finest that is kept; finer input rounds up, away from zero) and the family of suffixes
 * it was written in. Canonical text has no fraction, at most three digits before the largest possible suffix:
 *   "1000m" -> "1"    "0.5" -> "500m"    "1536Mi" -> "1536Mi"    "1024Mi" -> "1Gi"    "1e3" -> "1e3"    "1000" -> "1k"
 *
 * Pure. Never rounds through a floating point number, except in the helpers that say that they return one.
 */
export type QuantityFormat = "BinarySI" | "DecimalSI" | "DecimalExponent";

const WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_NUMBER = "unable to parse numeric part of quantity";
const WRONG_SUFFIX = "unable to parse quantity's suffix";

export class QuantityError extends Error {
  constructor(message = WRONG_FORMAT) {
    super(message);
    this.name = "QuantityError";
  }
}

const NANO = 1_000_000_000n;
/** Amounts with a binary suffix are capped at 2^63-1, as upstream; decimal ones are not. */
const MAX_BINARY_NANOS = (2n ** 63n - 1n) * NANO;
/**
 * Differs from upstream: digits and exponents beyond this are refused because nobody means them and BigInt would pay
 * for them; there they are taken.
 */
const MAX_DIGITS = 400;

const BINARY: readonly (readonly [suffix: string, factor: bigint])[] = [
  ["Ei", 2n ** 60n],
  ["Pi", 2n ** 50n],
  ["Ti", 2n ** 40n],
  ["Gi", 2n ** 30n],
  ["Mi", 2n ** 20n],
  ["Ki", 2n ** 10n],
];
const DECIMAL_EXPONENTS: Readonly<Record<string, number>> = {
  E: 18,
  P: 15,
  T: 12,
  G: 9,
  M: 6,
  k: 3,
  "": 0,
  m: -3,
  u: -6,
  n: -9,
};
const DECIMAL_SUFFIXES = new Map(Object.entries(DECIMAL_EXPONENTS).map(([suffix, exponent]) => [exponent, suffix]));
const PARTS = /^([+-]?)0*(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[+-]?\d*)$/;

export interface Quantity {
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

interface Reading extends Quantity {
  /** The text is kept as it is written, though not canonical ("+1", "1E6"): upstream takes this short cut. */
  readonly verbatim: boolean;
}

interface Suffix {
  readonly format: QuantityFormat;
  /** Of ten, or of two for BinarySI. */
  readonly exponent: number;
}

function readSuffix(text: string): Suffix {
  const decimal = Object.hasOwn(DECIMAL_EXPONENTS, text) ? DECIMAL_EXPONENTS[text] : undefined;
  if (decimal !== undefined) return { format: "DecimalSI", exponent: decimal };
  const binary = BINARY.findIndex(([suffix]) => suffix === text);
  if (binary >= 0) return { format: "BinarySI", exponent: 60 - 10 * binary };
  if (!/^[eE][+-]?\d+$/.test(text)) throw new QuantityError(WRONG_SUFFIX);
  const exponent = Number(text.slice(1));
  if (Math.abs(exponent) > MAX_DIGITS) throw new QuantityError(WRONG_SUFFIX);
  return { format: "DecimalExponent", exponent };
}

function read(text: string): Reading {
  const match = PARTS.exec(text);
  if (match === null || text === "") throw new QuantityError();
  const [, sign = "", whole = "", fraction = "", suffixText = ""] = match;
  if (whole.length + fraction.length > MAX_DIGITS) throw new QuantityError(WRONG_NUMBER);
  const suffix = readSuffix(suffixText);
  const digits = BigInt(`0${whole}${fraction}`);
  let { format } = suffix;
  let magnitude: bigint;
  if (format === "BinarySI") {
    magnitude = divideUp((digits << BigInt(suffix.exponent)) * NANO, 10n ** BigInt(fraction.length));
    if (magnitude > MAX_BINARY_NANOS) magnitude = MAX_BINARY_NANOS;
    // Small fractions of a binary suffix are shown with a decimal one.
    if (magnitude > 0n && magnitude < NANO) format = "DecimalSI";
  } else {
    const exponent = suffix.exponent - fraction.length + 9;
    magnitude = exponent >= 0 ? digits * 10n ** BigInt(exponent) : divideUp(digits, 10n ** BigInt(-exponent));
  }
  return {
    nanos: sign === "-" ? -magnitude : magnitude,
    format,
    verbatim: isVerbatim(suffix, whole === "" ? "0" : whole, fraction),
  };
}

/** Whether upstream's parser finds the text canonical enough to keep. Source: quantity.go, ParseQuantity's fast path */
function isVerbatim({ format, exponent }: Suffix, whole: string, fraction: string): boolean {
  if (format === "BinarySI") {
    const precision = 15 - whole.length - Math.trunc((exponent * 3) / 10) - 1;
    return fraction === "" && precision >= 0 && (Number(whole.slice(-3)) & 7) !== 0;
  }
  const digits = whole + fraction;
  const scale = exponent - fraction.length;
  const isShort = digits.length <= 18 && scale >= -9;
  return isShort && scale % 3 === 0 && !digits.endsWith("000") && !digits.startsWith("0");
}

/** Blanks around are ignored, as upstream does where a quantity stands in JSON. Throws QuantityError in upstream's words. */
export function parseQuantity(text: string): Quantity {
  const known = knownQuantities.get(text);
  if (known !== undefined) return known;
  const { nanos, format } = read(text.trim());
  const quantity: Quantity = Object.freeze({ nanos, format });
  if (text.length > MAX_KNOWN_LENGTH) return quantity;
  if (knownQuantities.size >= MAX_KNOWN_FORMS) knownQuantities.clear();
  knownQuantities.set(text, quantity);
  return quantity;
}

/** What is wrong with `text` in upstream's words, or undefined when it is a quantity. */
export function quantityComplaint(text: string): string | undefined {
  if (QUICK.test(text)) return undefined;
  try {
    read(text.trim());
    return undefined;
  } catch (error) {
    if (error instanceof QuantityError) return error.message;
    throw error;
  }
}

/** Whether `text` is a quantity. */
export function isQuantity(text: string): boolean {
  return quantityComplaint(text) === undefined;
}

export function formatQuantity({ nanos, format }: Quantity): string {
  if (nanos === 0n) return "0";
  const sign = nanos < 0n ? "-" : "";
  const magnitude = nanos < 0n ? -nanos : nanos;
  // Binary suffixes say nothing about fractions and small numbers: those fall back to decimal ones.
  if (format === "BinarySI" && magnitude >= 1024n * NANO && magnitude % NANO === 0n) {
    const units = magnitude / NANO;
    const [suffix, factor] = BINARY.find(([, f]) => units % f === 0n) ?? ["", 1n];
    return `${sign}${units / factor}${suffix}`;
  }
  let digits = magnitude;
  let exponent = -9;
  // Differs from upstream: 1000E keeps its suffix; there amounts of 10^21 and more are written without any.
  const maxExponent = format === "DecimalExponent" ? Number.POSITIVE_INFINITY : 18;
  while (exponent < maxExponent && digits % 1000n === 0n) {
    digits /= 1000n;
    exponent += 3;
  }
  if (format === "DecimalExponent") return exponent === 0 ? `${sign}${digits}` : `${sign}${digits}e${exponent}`;
  return `${sign}${digits}${DECIMAL_SUFFIXES.get(exponent) ?? ""}`;
}

/** Small whole numbers with the suffixes that nearly every quantity has. */
const QUICK = /^(\d{1,9})(m|Ki|Mi|Gi)?$/;

/**
 * The text as upstream stores it; numbers are taken as decimal text. What upstream's parser takes for canonical stays as
 * it is written ("1E6", "+1", "1.500"). Throws QuantityError.
 */
export function canonicalQuantity(text: string | number): string {
  const trimmed = typeof text === "number" ? String(text) : text.trim();
  const known = canonicalForms.get(trimmed);
  if (known !== undefined) return known;
  const reading = read(trimmed);
  const canonical = reading.verbatim ? trimmed : formatQuantity(reading);
  if (trimmed.length > MAX_KNOWN_LENGTH) return canonical;
  if (canonicalForms.size >= MAX_KNOWN_FORMS) canonicalForms.clear();
  canonicalForms.set(trimmed, canonical);
  return canonical;
}

/** The same few quantities stand in most objects of a cluster, and are looked at with every write. */
const canonicalForms = new Map<string, string>();
const knownQuantities = new Map<string, Quantity>();
const MAX_KNOWN_FORMS = 1024;
const MAX_KNOWN_LENGTH = 24;

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

/** Value rounded away from zero to a multiple of 10^scale: scale -3 for thousandths, 0 for whole units. */
export function roundQuantityUp({ nanos, format }: Quantity, scale: number): Quantity {
  const unit = 10n ** BigInt(scale + 9);
  const magnitude = divideUp(nanos < 0n ? -nanos : nanos, unit) * unit;
  return { nanos: nanos < 0n ? -magnitude : magnitude, format };
}

const MILLIS_PER: Readonly<Record<string, number>> = {
  m: 1,
  "": 1000,
  Ki: 1000 * 2 ** 10,
  Mi: 1000 * 2 ** 20,
  Gi: 1000 * 2 ** 30,
};

/** Whole units (bytes, pieces), rounded up (away from zero). Exact up to 2^53. Throws QuantityError. */
export function quantityValue(text: string): number {
  const quick = QUICK.exec(text);
  if (quick !== null) return Math.ceil((Number(quick[1]) * (MILLIS_PER[quick[2] ?? ""] ?? 0)) / 1000);
  return Number(roundQuantityUp(parseQuantity(text), 0).nanos / NANO);
}

/** Thousandths, rounded up (away from zero): CPU in millicores. Exact up to 2^53. Throws QuantityError. */
export function cpuMillis(text: string): number {
  const quick = QUICK.exec(text);
  if (quick !== null) return Number(quick[1]) * (MILLIS_PER[quick[2] ?? ""] ?? 0);
  return Number(roundQuantityUp(parseQuantity(text), -3).nanos / 1_000_000n);
}

function divideUp(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}
