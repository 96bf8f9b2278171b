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
