/**
 * Columns as kubectl prints them: upper-case headings, cells padded to the widest of their column, three spaces between.
 * Source: k8s.io/cli-runtime/pkg/printers (tabwriter, minimum width 6, padding 3)
 */
const PADDING = 3;
const MIN_WIDTH = 6;

export interface TableColumn {
  readonly name: string;
  /** 0 is always shown, more only with -o wide. */
  readonly priority: number;
}

/**
 * `widths` is kept up to date with the widest cells, so that the rows of a watch, which come one by one, stay in column.
 * Wide characters are not told apart: names in the API are ASCII.
 */
export function renderTable(
  rows: readonly (readonly string[])[],
  options: { headings?: readonly string[]; widths?: number[] } = {},
): string {
  const all = options.headings === undefined ? rows : [options.headings, ...rows];
  const widths = options.widths ?? [];
  for (const row of all) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? MIN_WIDTH - PADDING, cell.length);
  }
  return all
    .map((row) => {
      const cells = row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + PADDING)));
      return `${cells.join("")}\n`;
    })
    .join("");
}

/** A cell as text; empty and absent cells read <none>. */
export function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return "<none>";
  const text = String(cell).replaceAll("\n", " ");
  return text;
}
