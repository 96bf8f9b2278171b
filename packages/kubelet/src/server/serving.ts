/** What the kubelet's servers answer from. */
import type { Client } from "@knarr/client/client.ts";
import type { ServingCertificate } from "../certificates/node-certificates.ts";
import type { Config } from "../config.ts";
import type { NodeState } from "../node/node-state.ts";
import type { PodContext } from "../pods/pod-context.ts";
import type { PodSet } from "../pods/pod-set.ts";
import type { Relist } from "../pods/relist.ts";
import type { KubeletMetrics } from "./kubelet-metrics.ts";
import type { ProbeMetrics } from "./probe-metrics.ts";

export interface Serving {
  readonly config: Config;
  readonly context: PodContext;
  readonly state: NodeState;
  readonly relist: Relist;
  readonly pods: PodSet;
  /** undefined without an API server: then nobody can be authorised but by certificate. */
  readonly client: Client | undefined;
  readonly metrics: KubeletMetrics;
  readonly probeMetrics: ProbeMetrics;
  /** undefined: the certificate comes from files, or is the kubelet's own. */
  readonly certificate: ServingCertificate | undefined;
  readonly onPort: (port: number) => void;
}

/** Why the kubelet is not healthy. */
export function healthProblem({ state, relist, context }: Serving): string | undefined {
  const last = relist.snapshot?.at;
  if (last === undefined || context.clock.monotonicMs() - last > 120_000)
    return "the sync loop does not see the runtime";
  return state.problems().find((problem) => problem.startsWith("PLEG"));
}
