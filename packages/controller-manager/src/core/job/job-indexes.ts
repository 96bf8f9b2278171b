/**
 * Sets of completion indexes as a Job's status writes them: "1,3-5,7" (sorted, disjoint; two in a row stay "1,2").
 * Source: kubernetes/pkg/controller/job/indexed_job_utils.go
 */

export type Indexes = ReadonlySet<number>;

/** Reads what the status says; what is not below `completions`, or not an interval, is left out. */
export function parseIndexes(text: string | undefined, completions: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? "").split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) continue;
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? first), completions - 1);
    for (let index = first; index <= last; index++) indexes.add(index);
  }
  return indexes;
}

export function formatIndexes(indexes: Indexes): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (end + 1 < sorted.length && sorted[end + 1] === (sorted[end] as number) + 1) end++;
    const [first, last] = [sorted[i] as number, sorted[end] as number];
    if (end === i) parts.push(`${first}`);
    else parts.push(end === i + 1 ? `${first},${last}` : `${first}-${last}`);
    i = end + 1;
  }
  return parts.join(",");
}
