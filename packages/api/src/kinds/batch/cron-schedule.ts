/** Whether a text is a cron schedule, and what is wrong with it. Source: github.com/robfig/cron/v3 ParseStandard */

interface FieldBounds {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const bounds: readonly FieldBounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: months },
  { min: 0, max: 6, names: weekdays },
];

const descriptors = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

function numberOf(text: string, field: FieldBounds): number | string {
  const named = field.names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return named + field.min;
  return /^\d+$/.test(text)
    ? Number(text)
    : `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
}

/** One element of a comma-separated list: "*", "5", "1-5", each with an optional "/step". */
function rangeProblem(expression: string, field: FieldBounds): string | undefined {
  const [range = "", step, ...moreSteps] = expression.split("/");
  if (moreSteps.length > 0) return `too many slashes: ${expression}`;
  const [low = "", high, ...moreHigh] = range.split("-");
  if (moreHigh.length > 0) return `too many hyphens: ${expression}`;
  const isStar = low === "*" || low === "?";
  const start = isStar ? field.min : numberOf(low, field);
  if (typeof start === "string") return start;
  const lone = step === undefined ? start : field.max;
  const end = isStar ? field.max : high === undefined ? lone : numberOf(high, field);
  if (typeof end === "string") return end;
  if (start < field.min) return `beginning of range (${start}) below minimum (${field.min}): ${expression}`;
  if (end > field.max) return `end of range (${end}) above maximum (${field.max}): ${expression}`;
  if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${expression}`;
  if (step === undefined) return undefined;
  const by = numberOf(step, { min: 0, max: 0 });
  if (typeof by === "string") return by;
  return by === 0 ? `step of range should be a positive number: ${expression}` : undefined;
}

export function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Undefined when the schedule is fine. */
export function cronScheduleProblem(schedule: string): string | undefined {
  let text = schedule;
  if (text === "") return "empty spec string";
  const zone = /^(?:CRON_)?TZ=(\S*)/.exec(text);
  if (zone !== null) {
    if (zone[1] !== "" && !isTimeZone(zone[1] ?? "")) {
      return `provided bad location ${zone[1]}: unknown time zone ${zone[1]}`;
    }
    text = text.slice(zone[0].length);
  }
  text = text.trim();
  if (text.startsWith("@every ")) {
    return /^([0-9.]+(ns|us|µs|ms|s|m|h))+$/.test(text.slice(7)) ? undefined : `failed to parse duration ${text}`;
  }
  if (text.startsWith("@")) return descriptors.includes(text) ? undefined : `unrecognized descriptor: ${text}`;
  const fields = text.split(/\s+/);
  if (fields.length !== 5) return `expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`;
  for (const [i, field] of bounds.entries()) {
    for (const expression of (fields[i] ?? "").split(",")) {
      const problem = rangeProblem(expression, field);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}
