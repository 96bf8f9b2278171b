/**
 * The text of cpu_manager_state, in upstream's format (its second), with its checksum. Pure.
 * Source: pkg/kubelet/cm/cpumanager/state
 */
import { formatCpuSet, parseCpuSet } from "../core/cpu-set.ts";
import { byBytes, goChecksum, goMap } from "../core/go-checksum.ts";

/** Processors by container name, by pod uid. */
export type Assignments = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

export interface CpuState {
  readonly policy: string;
  /** Where everyone runs who has none alone. */
  readonly shared: readonly number[];
  readonly assignments: Assignments;
}

interface Wire {
  readonly policyName: string;
  readonly defaultCpuSet: string;
  readonly entries?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly checksum: number;
}

function checksumOf({ policyName, defaultCpuSet, entries = {} }: Omit<Wire, "checksum">): number {
  const sorted = <T>(record: Readonly<Record<string, T>>) =>
    Object.entries(record).toSorted(([a], [b]) => byBytes(a, b));
  const pods = sorted(entries).map(([uid, containers]) => [uid, goMap(sorted(containers))] as const);
  return goChecksum(
    `(*state.CPUManagerCheckpoint){PolicyName:(string)${policyName} DefaultCPUSet:(string)${defaultCpuSet} Entries:(map[string]map[string]string)${goMap(pods)} Checksum:(checksum.Checksum)0}`,
  );
}

export function renderCpuState({ policy, shared, assignments }: CpuState): string {
  const entries = Object.fromEntries(
    [...assignments].map(([uid, containers]) => [
      uid,
      Object.fromEntries([...containers].map(([name, cpus]) => [name, formatCpuSet(cpus)])),
    ]),
  );
  const wire = {
    policyName: policy,
    defaultCpuSet: formatCpuSet(shared),
    ...(assignments.size === 0 ? {} : { entries }),
  };
  return JSON.stringify({ ...wire, checksum: checksumOf(wire) });
}

/** Throws when the text is no state, or not the one that was written. */
export function parseCpuState(text: string): CpuState {
  const wire = JSON.parse(text) as Wire;
  if (checksumOf(wire) !== wire.checksum) throw new Error("checkpoint is corrupted");
  const assignments = Object.entries(wire.entries ?? {}).map(
    ([uid, containers]) =>
      [uid, new Map(Object.entries(containers).map(([name, cpus]) => [name, parseCpuSet(cpus)]))] as const,
  );
  return { policy: wire.policyName, shared: parseCpuSet(wire.defaultCpuSet), assignments: new Map(assignments) };
}
