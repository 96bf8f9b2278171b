/**
 * Timestamps as the API writes them: seconds for Time, microseconds for MicroTime, always UTC; read as Go's time.Parse
 * reads them, with its complaints. Source: api-conventions#units; Go time/format.go; apimachinery meta/v1 time.go, micro_time.go
 */
import { quoteGo } from "./go-text.ts";

/** "2026-01-02T03:04:05Z" for milliseconds since the epoch. */
export function rfc3339Seconds(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond.second) lastSecond = { second, text: `${isoOf(second * 1000).slice(0, -5)}Z` };
  return lastSecond.text;
}

/** Every write asks for the time now, several times. */
let lastSecond = { second: Number.NaN, text: "" };

/** "2026-01-02T03:04:05.678000Z" for milliseconds since the epoch; fractions of a millisecond are kept. */
export function microTime(ms: number): string {
  // The fraction of a double is off by less than a nanosecond: the nearest microsecond is the one that was meant.
  const micros = Math.round((ms - Math.floor(ms)) * 1000);
  const wholeMs = Math.floor(ms) + (micros === 1000 ? 1 : 0);
  return `${isoOf(wholeMs).slice(0, -1)}${String(micros % 1000).padStart(3, "0")}Z`;
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** A point in time without loss: nothing that a double can't hold. */
export interface Instant {
  /** Since 1970, negative before. */
  readonly epochSeconds: number;
  /** 0 to 999,999,999. */
  readonly nanos: number;
}

export class TimeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TimeError";
  }
}

/** `seconds`: RFC 3339, any fraction accepted. `micros`: exactly six digits of fraction, as MicroTime demands. */
export type TimeLayout = "seconds" | "micros";
const LAYOUT_TEXT = { seconds: "2006-01-02T15:04:05Z07:00", micros: "2006-01-02T15:04:05.000000Z07:00" } as const;

/** Reads the text bit by bit, each bit with the layout's name for it. */
class TimeReader {
  readonly #text: string;
  readonly #layout: TimeLayout;
  #rest: string;

  constructor(text: string, layout: TimeLayout) {
    this.#text = text;
    this.#rest = text;
    this.#layout = layout;
  }

  #unreadable(element: string): TimeError {
    const what = `parsing time ${quoteGo(this.#text)} as ${quoteGo(LAYOUT_TEXT[this.#layout])}`;
    return new TimeError(`${what}: cannot parse ${quoteGo(this.#rest)} as ${quoteGo(element)}`);
  }

  complain(detail: string): TimeError {
    return new TimeError(`parsing time ${quoteGo(this.#text)}: ${detail}`);
  }

  take(pattern: RegExp, element: string): string {
    const found = pattern.exec(this.#rest)?.[0];
    if (found === undefined) throw this.#unreadable(element);
    this.#rest = this.#rest.slice(found.length);
    return found;
  }

  takeNumber(pattern: RegExp, element: string, range: readonly [name: string, low: number, high: number]): number {
    const number = Number(this.take(pattern, element));
    if (number < range[1] || number > range[2]) throw this.complain(`${range[0]} out of range`);
    return number;
  }

  atEnd(): void {
    if (this.#rest !== "") throw this.complain(`extra text: ${quoteGo(this.#rest)}`);
  }
}

const TWO_DIGITS = /^\d\d/;

/** Throws TimeError in Go's words. */
export function parseInstant(text: string, layout: TimeLayout): Instant {
  const reader = new TimeReader(text, layout);
  const year = Number(reader.take(/^\d{4}/, "2006"));
  reader.take(/^-/, "-");
  const month = reader.takeNumber(TWO_DIGITS, "01", ["month", 1, 12]);
  reader.take(/^-/, "-");
  const day = Number(reader.take(TWO_DIGITS, "02"));
  reader.take(/^T/, "T");
  const hour = reader.takeNumber(/^\d\d?/, "15", ["hour", 0, 23]);
  reader.take(/^:/, ":");
  const minute = reader.takeNumber(TWO_DIGITS, "04", ["minute", 0, 59]);
  reader.take(/^:/, ":");
  const second = reader.takeNumber(TWO_DIGITS, "05", ["second", 0, 59]);
  const fraction =
    layout === "micros" ? reader.take(/^[.,]\d{6}/, ".000000") : reader.take(/^(?:[.,]\d+)?/, "").slice(0, 10);
  const offsetSeconds = readZone(reader);
  reader.atEnd();
  // Date.UTC would read the years 0-99 as 1900-1999; MicroTime is used in the year 1.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || day === 0) throw reader.complain("day out of range");
  const epochSeconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offsetSeconds;
  return { epochSeconds, nanos: Number(fraction.slice(1).padEnd(9, "0")) };
}

function readZone(reader: TimeReader): number {
  const zone = reader.take(/^(?:Z|[+-]\d\d:\d\d)/, "Z07:00");
  if (zone === "Z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 24) throw reader.complain("time zone offset hour out of range");
  if (minutes > 60) throw reader.complain("time zone offset minute out of range");
  return (zone.startsWith("-") ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/** Milliseconds since the epoch (with fractions of it), or undefined when `text` is no RFC 3339 time. */
export function parseRfc3339(text: string): number | undefined {
  try {
    const { epochSeconds, nanos } = parseInstant(text, "seconds");
    return epochSeconds * 1000 + nanos / 1e6;
  } catch (error) {
    if (error instanceof TimeError) return undefined;
    throw error;
  }
}

/** 0001-01-01T00:00:00Z, which Go takes for "never" and writes as null. */
const ZERO_EPOCH_SECONDS = -62_135_596_800;
/** What four digits of year can say; Go refuses to write others. */
const MIN_EPOCH_SECONDS = -62_167_219_200;
const MAX_EPOCH_SECONDS = 253_402_300_799;

/** What nearly every time looks like: UTC to the second, in years and on days about which there is no doubt. */
const PLAIN = /^(?:19|20|21)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;

function isPlainlyCanonical(text: string): boolean {
  return text.length === 20 && PLAIN.test(text);
}

/**
 * The time as upstream stores it after reading `text`: UTC, cut to seconds or microseconds; null for Go's zero time.
 * Throws TimeError in Go's words.
 */
export function canonicalTime(text: string, layout: TimeLayout): string | null {
  if (layout === "seconds" && isPlainlyCanonical(text)) return text;
  const { epochSeconds, nanos } = parseInstant(text, layout);
  if (epochSeconds === ZERO_EPOCH_SECONDS && nanos === 0) return null;
  if (epochSeconds < MIN_EPOCH_SECONDS || epochSeconds > MAX_EPOCH_SECONDS) {
    throw new TimeError("Time.MarshalJSON: year outside of range [0,9999]");
  }
  const seconds = isoOf(epochSeconds * 1000).slice(0, 19);
  if (layout === "seconds") return `${seconds}Z`;
  return `${seconds}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
}
