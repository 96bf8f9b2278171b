/** Wall clocks of time zones: which offset from UTC holds at an instant, and when a local day begins. Pure (Intl's tables). */

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const formats = new Map<string, Intl.DateTimeFormat>();

/** Throws RangeError for a zone that Intl doesn't know. */
function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      era: "narrow",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, format);
  }
  return format;
}

export function isTimeZone(zone: string): boolean {
  try {
    formatOf(zone);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Milliseconds that the zone's wall clock is ahead of UTC at this instant. */
export function zoneOffsetMs(zone: string, ms: number): number {
  if (zone === "UTC" || zone === "Etc/UTC") return 0;
  const part = Object.fromEntries(
    formatOf(zone)
      .formatToParts(ms)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / 1000) * 1000;
}

/** The wall clock as if it were UTC: read it with Date's getUTC functions. */
export function wallMs(zone: string, ms: number): number {
  return ms + zoneOffsetMs(zone, ms);
}

/**
 * The first instant of the local day of which `wallDay` is the midnight on the wall clock. Where the clock skips midnight,
 * it is the instant of the skip.
 */
export function dayStartMs(zone: string, wallDay: number): number {
  // One of the two offsets of the day before or after is right, or midnight is skipped.
  const [before, after] = [zoneOffsetMs(zone, wallDay - DAY), zoneOffsetMs(zone, wallDay + DAY)];
  if (before === after) return wallDay - before;
  for (const offset of [before, after]) {
    if (wallMs(zone, wallDay - offset) === wallDay) return wallDay - offset;
  }
  let start = wallDay - Math.max(before, after);
  while (wallMs(zone, start) < wallDay) start += MINUTE;
  return start;
}
