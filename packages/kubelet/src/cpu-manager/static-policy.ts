/**
 * The static policy: containers of Guaranteed pods that ask for whole processors have theirs alone, all others share the
 * rest. Pure: each step gives the next state.
 *
 *   all = shared + assigned (nobody's twice, but that containers may go on with what their pod's init containers had)
 *   reserved is never assigned; with strict reservation it is not shared either
 *
 * Source: pkg/kubelet/cm/cpumanager/policy_static.go; the wording is upstream's
 */
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { formatCpuSet } from "../core/cpu-set.ts";
import { containerLimits, qosClass } from "../core/qos.ts";
import { isSidecar } from "../core/restart-policy.ts";
import type { CpuState } from "./cpu-state.ts";
import { type Cpu, takeCpus } from "./take-cpus.ts";

export const STATIC = "static";

export interface StaticPolicy {
  readonly topology: readonly Cpu[];
  readonly reserved: ReadonlySet<number>;
  readonly fullPcpusOnly: boolean;
  readonly strictReservation: boolean;
}

export interface CpuRefusal {
  readonly reason: "UnexpectedAdmissionError" | "SMTAlignmentError";
  readonly message: string;
}

const allOf = ({ topology }: StaticPolicy) => new Set(topology.map((cpu) => cpu.id));

/** Processors that may be had alone. */
export function allocatableCpus(policy: StaticPolicy): number[] {
  return [...allOf(policy).difference(policy.reserved)];
}

/** How many processors a container is to have alone; 0: it shares. */
export function exclusiveCpus(pod: Pod, container: Container): number {
  if (pod.spec?.resources !== undefined || qosClass(pod) !== "Guaranteed") return 0;
  const { cpuRequestMillis } = containerLimits(container);
  return cpuRequestMillis % 1000 === 0 ? cpuRequestMillis / 1000 : 0;
}

export function initialState(policy: StaticPolicy): CpuState {
  const shared = policy.strictReservation ? allOf(policy).difference(policy.reserved) : allOf(policy);
  return { policy: STATIC, shared: [...shared], assignments: new Map() };
}

/** What speaks against going on from a state that was read. */
export function stateComplaint(policy: StaticPolicy, { shared, assignments }: CpuState): string | undefined {
  const pool = new Set(shared);
  const [reserved, text] = [formatCpuSet(policy.reserved), formatCpuSet(shared)];
  if (policy.strictReservation) {
    if (!pool.isDisjointFrom(policy.reserved)) {
      return `some of strictly reserved cpus: "${reserved}" are present in defaultCpuSet: "${text}"`;
    }
  } else if (!policy.reserved.isSubsetOf(pool)) {
    return `not all reserved cpus: "${reserved}" are present in defaultCpuSet: "${text}"`;
  }
  let known = policy.strictReservation ? pool.union(policy.reserved) : pool;
  for (const [uid, containers] of assignments) {
    for (const [name, cpus] of containers) {
      if (!pool.isDisjointFrom(new Set(cpus))) {
        const own = formatCpuSet(cpus);
        return `pod: ${uid}, container: ${name} cpuset: "${own}" overlaps with default cpuset "${text}"`;
      }
      known = known.union(new Set(cpus));
    }
  }
  const all = allOf(policy);
  if (all.size === known.size && all.isSubsetOf(known)) return undefined;
  return `current set of available CPUs "${formatCpuSet(all)}" doesn't match with CPUs in state "${formatCpuSet(known)}"`;
}

/** Gives every container of the pod its processors; or says why not. */
export function allocateCpus(policy: StaticPolicy, state: CpuState, pod: Pod): CpuState | CpuRefusal {
  const { initContainers = [], containers = [] } = pod.spec ?? { containers: [] };
  const uid = pod.metadata.uid ?? "";
  const own = new Map(state.assignments.get(uid));
  let shared = new Set(state.shared);
  let reusable = new Set<number>();
  for (const container of [...initContainers, ...containers]) {
    const count = exclusiveCpus(pod, container);
    if (count === 0) continue;
    let cpus = own.get(container.name);
    if (cpus === undefined) {
      const available = shared.difference(policy.reserved).union(reusable);
      const misaligned = policy.fullPcpusOnly ? refuseMisaligned(policy, available, count) : undefined;
      if (misaligned !== undefined) return misaligned;
      cpus = takeCpus(policy.topology, available, count);
      if (cpus === undefined) return refuseShortage(count, available.size);
      own.set(container.name, cpus);
      shared = shared.difference(new Set(cpus));
    }
    const ends = initContainers.includes(container) && !isSidecar(container);
    reusable = ends ? reusable.union(new Set(cpus)) : reusable.difference(new Set(cpus));
  }
  if (own.size === 0) return state;
  return { ...state, shared: [...shared], assignments: new Map([...state.assignments, [uid, own]]) };
}

function refuseShortage(requested: number, available: number): CpuRefusal {
  const why = `not enough cpus available to satisfy request: requested=${requested}, available=${available}`;
  return { reason: "UnexpectedAdmissionError", message: `Allocate failed due to ${why}, which is unexpected` };
}

function refuseMisaligned(policy: StaticPolicy, available: ReadonlySet<number>, count: number): CpuRefusal | undefined {
  const cores = [...Map.groupBy(policy.topology, (cpu) => cpu.core).values()];
  const perCore = policy.topology.length / cores.length;
  const refusal = (message: string) =>
    ({ reason: "SMTAlignmentError", message: `SMT Alignment Error: ${message}` }) as const;
  if (count % perCore !== 0) return refusal(`requested ${count} cpus not multiple cpus per core = ${perCore}`);
  const physical = cores.filter((cpus) => cpus.every((cpu) => available.has(cpu.id))).flat().length;
  if (count <= physical) return undefined;
  return refusal(
    `not enough free physical CPUs: available physical CPUs = ${physical}, requested CPUs = ${count}, CPUs per core = ${perCore}`,
  );
}

/** Without the pods for which `keep` is false; what they had is shared again. */
export function releaseCpus(policy: StaticPolicy, state: CpuState, keep: (uid: string) => boolean): CpuState {
  const kept = [...state.assignments].filter(([uid]) => keep(uid));
  if (kept.length === state.assignments.size) return state;
  let shared = new Set(initialState(policy).shared);
  for (const [, containers] of kept) for (const cpus of containers.values()) shared = shared.difference(new Set(cpus));
  return { ...state, shared: [...shared], assignments: new Map(kept) };
}
