/**
 * Text of `describe`: labelled lines and indented blocks, values aligned in one column.
 *
 *   Name:         web
 *   Labels:       app=web
 *                 tier=front
 */
export type Line = readonly [label: string, value: string | number | boolean | undefined | readonly string[]] | string;

const INDENT = 2;

/** Several values of a label stand below each other; none reads <none>. Plain strings stand as they are. */
export function renderLines(lines: readonly Line[], depth = 0): string {
  const labels = lines.filter((line): line is Exclude<Line, string> => typeof line !== "string");
  const width = Math.max(0, ...labels.map(([label]) => label.length + 1)) + 2;
  const indent = " ".repeat(depth * INDENT);
  return lines
    .map((line) => {
      if (typeof line === "string") return line;
      const [label, value] = line;
      const values = Array.isArray(value) ? (value as readonly string[]) : [String(value ?? "<none>")];
      const shown = values.length === 0 ? ["<none>"] : values;
      return shown
        .map((text, i) => `${indent}${i === 0 ? `${label}:`.padEnd(width) : " ".repeat(width)}${text}\n`)
        .join("");
    })
    .join("");
}

/** Key-value pairs as describe lists them: `a=1` lines, sorted. */
export function pairs(map: Readonly<Record<string, string>> | undefined, separator = "="): string[] {
  return Object.entries(map ?? {})
    .map(([key, value]) => `${key}${separator}${value}`)
    .sort();
}

/** "5s", "3m12s", "2d4h": as kubectl shows ages. Source: k8s.io/apimachinery/pkg/util/duration */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  if (days < 2920 && days % 365 !== 0) return `${years}y${days % 365}d`;
  return `${years}y`;
}
