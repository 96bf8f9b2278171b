/** The figures as tables to read. Pure. */
import type { BenchResult, LoadFigures } from "./result.ts";

const MIB = 2 ** 20;
const seconds = (value: number) => `${value.toFixed(1)} s`;
const whole = (value: number) => value.toFixed(0);
const mebibytes = (bytes: number) => (bytes / MIB).toFixed(0);
const cores = (value: number) => value.toFixed(2);
const percent = (share: number) => `${(share * 100).toFixed(0)} %`;

/** The first column to the left, the others to the right. */
export function renderColumns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)));
  return rows.map((row) => `  ${line(row).join("  ").trimEnd()}\n`).join("");
}

export function renderLoadLine(load: LoadFigures): string {
  const failed = load.failures === 0 ? "" : `, ${load.failures} failed (${load.firstFailure})`;
  return `${load.name}: ${whole(load.perSecond)}/s, p50 ${load.p50Ms.toFixed(1)} ms, p99 ${load.p99Ms.toFixed(1)} ms${failed}`;
}

/** Of the server that the load is on. */
function serverCores(load: LoadFigures): number {
  if (load.name.startsWith("etcd")) return load.etcdCores;
  return load.name.startsWith("bare") ? load.bareServerCores : load.apiserverCores;
}

function renderLoads(loads: readonly LoadFigures[]): string {
  const headings = [
    "",
    "per second",
    "MiB/s",
    "p50 ms",
    "p99 ms",
    "failed",
    "server",
    "etcd",
    "client",
    "foreign",
    "per core",
  ];
  const rows = loads.map((load) => [
    load.name,
    whole(load.perSecond),
    (load.bytesPerSecond / MIB).toFixed(1),
    load.p50Ms.toFixed(1),
    load.p99Ms.toFixed(1),
    whole(load.failures),
    cores(serverCores(load)),
    cores(load.etcdCores),
    cores(load.clientCores),
    cores(load.foreignCores),
    whole(load.perSecond / serverCores(load)),
  ]);
  return renderColumns([headings, ...rows]);
}

/** API figures as shares of their yardsticks': of the rate, and of the rate per core of the server used. */
function renderRatios(loads: readonly LoadFigures[]): string {
  const pairs = [
    ["API get", "bare HTTPS get"],
    ["API get", "etcd get"],
    ["API list", "bare HTTPS list"],
    ["API create", "etcd guarded create"],
  ] as const;
  const rows = pairs.flatMap(([api, yardstick]) => {
    const [a, b] = [api, yardstick].map((prefix) => loads.find((load) => load.name.startsWith(prefix)));
    if (a === undefined || b === undefined) return [];
    const perCore = a.perSecond / serverCores(a) / (b.perSecond / serverCores(b));
    return [[`${api} / ${yardstick}`, percent(a.perSecond / b.perSecond), percent(perCore)]];
  });
  return renderColumns([["", "rate", "per core"], ...rows]);
}

export function renderReport(result: BenchResult): string {
  const { up, web, components } = result;
  const total = (pick: (component: BenchResult["components"][number]) => number) =>
    components.reduce((sum, component) => sum + pick(component), 0);
  const componentRows = components.map((c) => [
    c.name,
    mebibytes(c.afterUpBytes),
    mebibytes(c.afterWebBytes),
    mebibytes(c.afterLoadBytes),
    `${(c.idleCores * 100).toFixed(1)} %`,
  ]);
  const sums = [
    "all together",
    mebibytes(total((c) => c.afterUpBytes)),
    mebibytes(total((c) => c.afterWebBytes)),
    mebibytes(total((c) => c.afterLoadBytes)),
    `${(total((c) => c.idleCores) * 100).toFixed(1)} %`,
  ];
  return `From "knarr up" to all nodes Ready
${renderColumns([...up.phases.map((phase) => [phase.name, seconds(phase.seconds)]), ["whole command", seconds(up.totalSeconds)]])}
From "knarr apply -f examples/web.yaml"
${renderColumns([
  ["to the end of the command", seconds(web.applySeconds)],
  ["to the Deployment Available", seconds(web.availableSeconds)],
])}
API and yardsticks (32 in flight; a pod has ${result.podBytes} bytes, a list ${result.listPods} pods, ${result.listBytes} bytes; "server" to "foreign" are cores used,\n"per core" is per second and core of the server)
${renderLoads(result.loads)}
${renderRatios(result.loads)}
Resident memory in MiB, and the share of a core used when idle
${renderColumns([["", "after up", "after web", "after load", "idle"], ...componentRows, sums])}
Foreign use of the machine while idle: ${cores(result.idleForeignCores)} cores
`;
}
