/**
 * Cron schedules: the standard five fields, @daily and its like, @every. Pure.
 *
 * With daylight saving time, as upstream's library: a time that the clock skips does not happen on that day, a time that
 * the clock shows twice happens twice. Source: github.com/robfig/cron/v3 parser.go, spec.go, constantdelay.go
 */
import { DurationError, parseDurationMs } from "@knarr/apimachinery/duration.ts";
import { dayStartMs, isTimeZone, wallMs, zoneOffsetMs } from "./zone-clock.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** A schedule like "30 February" never happens. */
const HORIZON_YEARS = 5;

export interface CronSchedule {
  /** The first time after `ms`; undefined when there is none within years. */
  next(ms: number): number | undefined;
  /** Given for @every only: the fixed distance. */
  readonly everyMs?: number;
}

export class CronError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CronError";
  }
}

interface Field {
  readonly values: ReadonlySet<number>;
  /** Written as "*": leaves the choice of the day to the other day field. */
  readonly star: boolean;
}
interface Fields {
  readonly minute: Field;
  readonly hour: Field;
  readonly day: Field;
  readonly month: Field;
  readonly weekday: Field;
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DESCRIPTORS: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** `zone` holds unless the text begins with "TZ=ZONE " or "CRON_TZ=ZONE ". Throws CronError. */
export function parseCron(text: string, zone: string): CronSchedule {
  const prefix = /^(?:CRON_)?TZ=(\S*)\s+/.exec(text);
  if (prefix !== null) {
    const [whole, named = ""] = prefix;
    if (!isTimeZone(named)) throw new CronError(`provided bad location ${named}: unknown time zone ${named}`);
    return parseCron(text.slice(whole.length), named);
  }
  const trimmed = text.trim();
  if (trimmed.startsWith("@every ")) return every(trimmed.slice("@every ".length));
  const spec = trimmed.startsWith("@") ? DESCRIPTORS[trimmed] : trimmed;
  if (spec === undefined) throw new CronError(`unrecognized descriptor: ${trimmed}`);
  const parts = spec.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== 5) {
    throw new CronError(`expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`);
  }
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = parts;
  const fields: Fields = {
    minute: parseField(minute, 0, 59),
    hour: parseField(hour, 0, 23),
    day: parseField(day, 1, 31),
    month: parseField(month, 1, 12, MONTHS),
    weekday: parseField(weekday, 0, 6, WEEKDAYS),
  };
  return { next: (ms) => nextTime(fields, zone, ms) };
}

function every(text: string): CronSchedule {
  let parsed: number;
  try {
    parsed = parseDurationMs(text);
  } catch (error) {
    if (error instanceof DurationError)
      throw new CronError(`failed to parse duration @every ${text}: ${error.message}`);
    throw error;
  }
  const everyMs = Math.max(1000, Math.floor(parsed / 1000) * 1000);
  return { everyMs, next: (ms) => Math.floor(ms / 1000) * 1000 + everyMs };
}

function parseField(text: string, min: number, max: number, names: readonly string[] = []): Field {
  const values = new Set<number>();
  let star = false;
  for (const expression of text.split(",").filter((part) => part !== "")) {
    const range = parseRange(expression, { min, max, names });
    for (let value = range.from; value <= range.to; value += range.step) values.add(value);
    star ||= range.star;
  }
  if (values.size === 0) throw new CronError(`failed to parse field: ${JSON.stringify(text)}`);
  return { values, star };
}

/** "*", "?", "5", "1-5", each with an optional "/step"; "5/10" means "5-max/10". */
function parseRange(
  expression: string,
  { min, max, names }: { min: number; max: number; names: readonly string[] },
): { from: number; to: number; step: number; star: boolean } {
  const [range = "", stepText, ...more] = expression.split("/");
  const [low = "", high, ...others] = range.split("-");
  if (more.length > 0) throw new CronError(`too many slashes: ${expression}`);
  if (others.length > 0) throw new CronError(`too many hyphens: ${expression}`);
  const number = (text: string) => {
    const named = names.indexOf(text.toLowerCase());
    if (named >= 0) return named + min;
    if (/^\d+$/.test(text)) return Number(text);
    throw new CronError(
      `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  };
  const step = stepText === undefined ? 1 : number(stepText);
  const isStar = low === "*" || low === "?";
  const from = isStar ? min : number(low);
  const to = isStar || (high === undefined && stepText !== undefined) ? max : high === undefined ? from : number(high);
  if (from < min) throw new CronError(`beginning of range (${from}) below minimum (${min}): ${expression}`);
  if (to > max) throw new CronError(`end of range (${to}) above maximum (${max}): ${expression}`);
  if (from > to) throw new CronError(`beginning of range (${from}) beyond end of range (${to}): ${expression}`);
  if (step === 0) throw new CronError(`step of range should be a positive number: ${expression}`);
  return { from, to, step, star: isStar && step === 1 };
}

function nextTime(fields: Fields, zone: string, ms: number): number | undefined {
  const from = Math.floor(ms / MINUTE) * MINUTE + MINUTE;
  const lastYear = new Date(wallMs(zone, from)).getUTCFullYear() + HORIZON_YEARS;
  let wallDay = Math.floor(wallMs(zone, from) / DAY) * DAY;
  for (; ; wallDay += DAY) {
    const date = new Date(wallDay);
    if (date.getUTCFullYear() > lastYear) return undefined;
    if (!fields.month.values.has(date.getUTCMonth() + 1)) {
      // The eve of the next month: the loop adds the day.
      wallDay = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0);
      continue;
    }
    if (!matchesDay(fields, date)) continue;
    const found = nextOnDay(fields, zone, { wallDay, from });
    if (found !== undefined) return found;
  }
}

function matchesDay({ day, weekday }: Fields, date: Date): boolean {
  const [inMonth, inWeek] = [day.values.has(date.getUTCDate()), weekday.values.has(date.getUTCDay())];
  return day.star || weekday.star ? inMonth && inWeek : inMonth || inWeek;
}

/** The first time of this local day at or after `from`. */
function nextOnDay(fields: Fields, zone: string, of: { wallDay: number; from: number }): number | undefined {
  const start = dayStartMs(zone, of.wallDay);
  const end = dayStartMs(zone, of.wallDay + DAY);
  const offset = zoneOffsetMs(zone, start);
  if (offset === zoneOffsetMs(zone, end) && end - start === DAY) {
    return nextOnPlainDay(fields, { wallDay: of.wallDay, offset, from: of.from });
  }
  // The clock is changed today: minute by minute.
  for (let ms = Math.max(start, of.from); ms < end; ms += MINUTE) {
    const wall = new Date(wallMs(zone, ms));
    if (fields.hour.values.has(wall.getUTCHours()) && fields.minute.values.has(wall.getUTCMinutes())) return ms;
  }
  return undefined;
}

function nextOnPlainDay(
  { hour, minute }: Fields,
  { wallDay, offset, from }: { wallDay: number; offset: number; from: number },
): number | undefined {
  for (let h = 0; h < 24; h++) {
    const hourMs = wallDay - offset + h * 60 * MINUTE;
    if (!hour.values.has(h) || hourMs + 60 * MINUTE <= from) continue;
    for (let m = 0; m < 60; m++) {
      const ms = hourMs + m * MINUTE;
      if (minute.values.has(m) && ms >= from) return ms;
    }
  }
  return undefined;
}
