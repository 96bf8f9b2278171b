/** `knarr doctor`: everything that keeps a cluster from coming up or staying well, with its cause and its remedy. */
import { readCluster } from "../load-cluster.ts";
import { type Check, type DoctorContext, type Finding, failure } from "./check.ts";
import { clusterChecks } from "./cluster.ts";
import { diskChecks } from "./disk.ts";
import { machineChecks } from "./machine.ts";
import { surroundingsChecks } from "./surroundings.ts";

/** In the order in which they are told. */
export const checks: readonly Check[] = [...machineChecks, ...diskChecks, ...surroundingsChecks, ...clusterChecks];

/** Changes nothing but for a scratch file that it removes again. */
export async function examine(
  options: Omit<DoctorContext, "config">,
  onFinding: (finding: Finding) => void,
): Promise<readonly Finding[]> {
  const context: DoctorContext = { ...options, config: await readCluster(options.dataDir) };
  const all: Finding[] = [];
  for (const check of checks) {
    options.signal.throwIfAborted();
    for (const finding of await findingsOf(check, context)) {
      all.push(finding);
      onFinding(finding);
    }
  }
  return all;
}

async function findingsOf(check: Check, context: DoctorContext): Promise<readonly Finding[]> {
  try {
    return await check.run(context);
  } catch (error) {
    if (context.signal.aborted) throw error;
    const found = error instanceof Error ? error.message : String(error);
    return [failure(check.subject, found, { cause: "it could not be looked at", fix: "run as root" })];
  }
}
