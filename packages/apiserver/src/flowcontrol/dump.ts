/** The debug pages of flow control: tables with commas, as upstream's. Source: fairqueuing apf_controller_debug.go */
import type { FlowControl } from "./flow-control.ts";

const PREFIX = "/debug/api_priority_and_fairness/";

/** The page of the path; undefined when there is none. */
export function dumpFlowControl(path: string, control: FlowControl): string | undefined {
  if (!path.startsWith(PREFIX)) return undefined;
  switch (path.slice(PREFIX.length)) {
    case "dump_priority_levels":
      return table(levelRows(control));
    case "dump_queues":
      return table(queueRows(control));
    case "dump_requests":
      return table(requestRows(control));
    default:
      return undefined;
  }
}

type Row = readonly (string | number | boolean)[];

function levelRows(control: FlowControl): Row[] {
  const head = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
  ];
  const rows = [...control.levels.values()].map(({ name, queues, counts }) => {
    const active = queues.describe().filter(({ waiting, running }) => waiting.length + running > 0).length;
    return [
      name,
      active,
      queues.isIdle,
      false,
      queues.waiting,
      queues.running,
      counts.dispatched,
      counts.rejected,
      counts.timedOut,
      counts.cancelled,
    ];
  });
  return [head, ...rows];
}

function queueRows(control: FlowControl): Row[] {
  const head = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
  ];
  const rows = [...control.levels.values()].flatMap(({ name, queues }) =>
    queues.describe().map(({ waiting, running, seats, nextR }, index) => {
      const initial = waiting.reduce((sum, { work }) => sum + work.seats, 0);
      const most = waiting.reduce((sum, { work }) => sum + Math.max(work.seats, work.finalSeats), 0);
      return [name, index, waiting.length, running, seats, (nextR / 1000).toFixed(8), initial, most, initial];
    }),
  );
  return [head, ...rows];
}

function requestRows(control: FlowControl): Row[] {
  const head = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
  ];
  const rows = [...control.levels.values()].flatMap(({ name, queues }) =>
    queues.describe().flatMap(({ waiting }, queue) =>
      waiting.map(({ flow, arrivedMs, work }, index) => {
        const [schema = "", distinguisher = ""] = flow.split("\u0000");
        return [
          name,
          schema,
          queue,
          index,
          distinguisher,
          arrivedMs.toFixed(0),
          work.seats,
          work.finalSeats,
          `${work.extraMs}ms`,
          "",
        ];
      }),
    ),
  );
  return [head, ...rows];
}

function table(rows: readonly Row[]): string {
  return `${rows.map((row) => row.join(", ")).join("\n")}\n`;
}
