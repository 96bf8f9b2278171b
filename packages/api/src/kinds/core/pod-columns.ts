/** What `kubectl get pods` shows. Source: k8s.io/kubernetes/pkg/printers/internalversion printPod */
import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import type { PrinterColumn, RowCondition } from "../../descriptor.ts";
import type { Container, ContainerStatus, Pod } from "../../generated/types/core-v1.ts";
import { ageSince } from "../../human-duration.ts";

interface Restarts {
  restarts: number;
  /** Milliseconds of the latest restart; 0 when there was none. */
  lastRestart: number;
}

interface Totals extends Restarts {
  reason: string;
  ready: number;
  total: number;
}

function finishedAt(status: ContainerStatus): number {
  const at = status.lastState?.terminated?.finishedAt;
  return at === undefined || at === null ? 0 : Date.parse(at);
}

/** "Completed", "ExitCode:3", "Signal:9"; undefined when it did not terminate. */
function terminatedReason(status: ContainerStatus): string | undefined {
  const terminated = status.state?.terminated;
  if (terminated === undefined) return undefined;
  if ((terminated.reason ?? "") !== "") return terminated.reason;
  return (terminated.signal ?? 0) !== 0 ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
}

function count(totals: Restarts, status: ContainerStatus): void {
  totals.restarts += status.restartCount;
  totals.lastRestart = Math.max(totals.lastRestart, finishedAt(status));
}

function hasCondition(pod: Pod, type: string): boolean {
  return pod.status?.conditions?.some((c) => c.type === type && c.status === "True") ?? false;
}

/** Why this init container keeps the others from starting; undefined when it does not. */
function initReason(status: ContainerStatus, index: number, count: number): string {
  const waiting = status.state?.waiting?.reason ?? "";
  if (status.state?.terminated !== undefined) return `Init:${terminatedReason(status)}`;
  return waiting !== "" && waiting !== "PodInitializing" ? `Init:${waiting}` : `Init:${index}/${count}`;
}

/** Counts up to the first init container that is neither done nor a started sidecar; that one gives the reason. */
function lookAtInitContainers(pod: Pod, totals: Totals): { initializing: boolean; sidecars: Restarts } {
  const declared = new Map<string, Container>((pod.spec?.initContainers ?? []).map((c) => [c.name, c]));
  const sidecars: Restarts = { restarts: 0, lastRestart: 0 };
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    count(totals, status);
    const isSidecar = declared.get(status.name)?.restartPolicy === "Always";
    if (isSidecar) count(sidecars, status);
    if (status.state?.terminated?.exitCode === 0) continue;
    if (isSidecar && status.started === true) {
      if (status.ready) totals.ready++;
      continue;
    }
    totals.reason = initReason(status, i, declared.size);
    return { initializing: true, sidecars };
  }
  return { initializing: false, sidecars };
}

function lookAtContainers(pod: Pod, totals: Totals): void {
  let running = false;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    count(totals, status);
    const waiting = status.state?.waiting?.reason ?? "";
    const terminated = terminatedReason(status);
    if (waiting !== "") totals.reason = waiting;
    else if (terminated !== undefined) totals.reason = terminated;
    else if (status.ready && status.state?.running !== undefined) {
      running = true;
      totals.ready++;
    }
  }
  if (totals.reason === "Completed" && running) {
    totals.reason = hasCondition(pod, "Ready") ? "Running" : "NotReady";
  }
}

function initialReason(pod: Pod): string {
  const gated = pod.status?.conditions?.some((c) => c.type === "PodScheduled" && c.reason === "SchedulingGated");
  if (gated === true) return "SchedulingGated";
  return (pod.status?.reason ?? "") !== "" ? (pod.status?.reason ?? "") : (pod.status?.phase ?? "");
}

/** Everything that the columns of one pod need. */
function summarize(pod: Pod): Totals {
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always").length;
  const totals: Totals = {
    reason: initialReason(pod),
    ready: 0,
    total: (pod.spec?.containers?.length ?? 0) + sidecars,
    restarts: 0,
    lastRestart: 0,
  };
  const { initializing, sidecars: kept } = lookAtInitContainers(pod, totals);
  if (!initializing || hasCondition(pod, "Initialized")) {
    // Ordinary init containers are forgotten once all are done.
    Object.assign(totals, kept);
    lookAtContainers(pod, totals);
  }
  const isTerminal = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (pod.status?.reason === "NodeLost") totals.reason = "Unknown";
    else if (!isTerminal) totals.reason = "Terminating";
  }
  return totals;
}

function restarts(pod: Pod, now: number): string {
  const totals = summarize(pod);
  if (totals.restarts === 0 || totals.lastRestart === 0) return String(totals.restarts);
  return `${totals.restarts} (${ageSince(new Date(totals.lastRestart).toISOString(), now)} ago)`;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  return `${gates.filter((gate) => hasCondition(pod, gate.conditionType)).length}/${gates.length}`;
}

function orNone(text: string | undefined): string {
  return text === undefined || text === "" ? "<none>" : text;
}

export const podColumns: PrinterColumn<Pod>[] = [
  nameColumn(),
  textColumn("Ready", (pod) => {
    const { ready, total } = summarize(pod);
    return `${ready}/${total}`;
  }),
  textColumn("Status", (pod) => summarize(pod).reason),
  textColumn("Restarts", restarts),
  ageColumn(),
  textColumn("IP", (pod) => orNone(pod.status?.podIPs?.[0]?.ip), "wide"),
  textColumn("Node", (pod) => orNone(pod.spec?.nodeName), "wide"),
  textColumn("Nominated Node", (pod) => orNone(pod.status?.nominatedNodeName), "wide"),
  textColumn("Readiness Gates", readinessGates, "wide"),
];

/** The messages are upstream's: tools read them. */
export function podRowConditions(pod: Pod): readonly RowCondition[] {
  switch (pod.status?.phase) {
    case "Succeeded":
      return [completed("Succeeded", "The pod has completed successfully.")];
    case "Failed":
      return [completed("Failed", "The pod failed.")];
    default:
      return [];
  }
}

function completed(reason: string, message: string): RowCondition {
  return { type: "Completed", status: "True", reason, message };
}
