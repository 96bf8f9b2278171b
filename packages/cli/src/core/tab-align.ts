/**
 * Aligns text whose cells end with tabs, as Go's text/tabwriter does with which kubectl lays out `describe`: a column is a
 * run of neighbouring lines that have the cell, as wide as its widest cell and two blanks.
 */
const PADDING = 2;

export function tabAlign(text: string): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths = lines.map((): number[] => []);
  for (let column = 0; ; column++) {
    let found = false;
    for (let start = 0; start < lines.length; start++) {
      if (!hasCell(lines[start], column)) continue;
      found = true;
      let end = start;
      let width = 0;
      for (; hasCell(lines[end], column); end++) width = Math.max(width, [...(lines[end]?.[column] ?? "")].length);
      for (let i = start; i < end; i++) (widths[i] as number[])[column] = width + PADDING;
      start = end;
    }
    if (!found) break;
  }
  return lines.map((cells, i) => cells.map((cell, column) => pad(cell, widths[i]?.[column])).join("")).join("\n");
}

/** The last cell of a line is not ended by a tab and takes part in no column. */
const hasCell = (cells: readonly string[] | undefined, column: number) =>
  cells !== undefined && column < cells.length - 1;

function pad(cell: string, width: number | undefined): string {
  return width === undefined ? cell : cell + " ".repeat(width - [...cell].length);
}
