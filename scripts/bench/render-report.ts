/** The figures as tables to read. Pure. */
import type { BenchResult, LoadFigures } from "./result.ts";

const MIB = 2 ** 20;
const seconds = (value: number) => `${value.toFixed(1)} s`;
const whole = (value: number) => value.toFixed(0);
const mebibytes = (bytes: number) => (bytes / MIB).toFixed(0);
const cores = (value: number) => value.toFixed(2);

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

/** An API figure as a share of its yardstick's. */
export function ratios(loads: readonly LoadFigures[]): readonly { readonly name: string; readonly share: number }[] {
  const of = (prefix: string) => loads.find((load) => load.name.startsWith(prefix))?.perSecond ?? Number.NaN;
  return [
    { name: "API get / bare HTTPS get", share: of("API get") / of("bare HTTPS get") },
    { name: "API get / etcd get", share: of("API get") / of("etcd get") },
    { name: "API list / bare HTTPS list", share: of("API list") / of("bare HTTPS list") },
    { name: "API create / etcd guarded create", share: of("API create") / of("etcd guarded create") },
  ];
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
${renderColumns(ratios(result.loads).map(({ name, share }) => [name, `${(share * 100).toFixed(0)} %`]))}
Resident memory in MiB, and the share of a core used when idle
${renderColumns([["", "after up", "after web", "after load", "idle"], ...componentRows, sums])}
Foreign use of the machine while idle: ${cores(result.idleForeignCores)} cores
`;
}
