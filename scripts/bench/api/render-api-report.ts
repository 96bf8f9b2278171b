/** The API benchmark's figures as text, each beside its yardstick. */
import { renderColumns } from "../render-report.ts";
import type { ApiBenchResult, MemoryFigures } from "./result.ts";

const MIB = 1024 * 1024;
const whole = (value: number) => value.toFixed(0);
const mebibytes = (bytes: number) => (bytes / MIB).toFixed(0);
const share = (part: number, of: number) => (of === 0 ? "-" : (part / of).toFixed(2));

export function renderApiReport(result: ApiBenchResult): string {
  const reads = result.reads.map(({ what, protocol, api, bare, peakBytes }) => {
    const isList = what === "list";
    const of = (load: typeof api) => (isList ? load.bytesPerSecond / MIB : load.perSecond);
    const perCore = (load: typeof api) => of(load) / load.serverCores;
    return [
      `${what} ${protocol} (${isList ? "MiB/s" : "per second"})`,
      ...[whole(of(api)), whole(of(bare)), share(of(api), of(bare)), share(perCore(api), perCore(bare))],
      ...[api.p50Ms.toFixed(1), api.p99Ms.toFixed(1), whole(api.failures), mebibytes(peakBytes)],
    ];
  });
  const writes = result.writes.map(({ what, api, etcd }) => [
    `${what} (per second)`,
    ...[whole(api.perSecond), whole(etcd.perSecond), share(api.perSecond, etcd.perSecond)],
    ...[api.p50Ms.toFixed(1), api.p99Ms.toFixed(1), whole(api.failures)],
    ...[api.apiserverCores, api.etcdCores, api.clientCores].map((cores) => cores.toFixed(2)),
    ((api.apiserverCores * 1000) / api.perSecond).toFixed(2),
  ]);
  const watch = result.watch.map((step) => [
    `${whole(step.writesPerSecond)} writes/s`,
    ...[whole(step.eventsPerSecond), mebibytes(step.bytesPerSecond)],
    ...[step.p50Ms.toFixed(0), step.p99Ms.toFixed(0), step.clientCores.toFixed(2)],
  ]);
  const memory = (Object.entries(result.memory) as [keyof MemoryFigures, number][]).map(([when, bytes]) => [
    when,
    mebibytes(bytes),
  ]);
  return `${result.pods} pods of ${result.podBytes} bytes
Reads against a bare server that sends the same bytes
${renderColumns([["", "API", "bare", "share", "per core", "p50 ms", "p99 ms", "failed", "peak MiB"], ...reads])}
Writes against as many raw transactions in flight at etcd
${renderColumns([["", "API", "etcd", "share", "p50 ms", "p99 ms", "failed", "apiserver", "etcd", "client", "CPU ms each"], ...writes])}
Watchers of one namespace
${renderColumns([["", "events/s", "MiB/s", "p50 ms", "p99 ms", "client"], ...watch])}
Resident memory of the API server in MiB
${renderColumns([["", "MiB"], ...memory])}
Idle with 100 watchers: ${(result.idleCores * 100).toFixed(2)} % of a core
Ready after start: ${result.readySeconds.toFixed(2)} s
`;
}
