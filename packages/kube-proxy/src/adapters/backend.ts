/** One address family's rules in the kernel, whatever writes them. */
import type { IpFamily } from "@knarr/netfilter/ip.ts";
import type { PlanOptions } from "../core/plan-service.ts";
import type { PlannedPort, ServiceView } from "../core/planned-port.ts";
import type { ChangedViews } from "../service-views.ts";

export const proxyModes = ["iptables", "ipvs", "nftables"] as const;
export type ProxyMode = (typeof proxyModes)[number];

export interface SyncOutcome {
  readonly ports: readonly PlannedPort[];
  /** Ports whose rules or endpoints are not those of the sync before. */
  readonly changedPorts: readonly PlannedPort[];
  /** The kernel was read and compared. */
  readonly full: boolean;
  /** Chains rewritten and deleted in the kernel, and elements of sets added and deleted; 0 when it was as wanted. */
  readonly changedChains: number;
  readonly deletedChains: number;
  readonly changedElements: number;
  readonly ruleLines: number;
  /** Rules that stand afterwards, per table. */
  readonly rules: Readonly<Record<string, number>>;
}

export interface SyncRequest {
  /** Compare with the kernel, and repair. */
  readonly full: boolean;
  /** The only views that differ from those of the last sync; absent when that is not known. */
  readonly changed?: ChangedViews | undefined;
  readonly signal: AbortSignal;
}

export interface Backend {
  readonly mode: ProxyMode;
  readonly family: IpFamily;
  /** Rejects with a CommandError when the kernel's tool fails; the old rules then stay as they were. */
  sync(views: readonly ServiceView[], options: PlanOptions, request: SyncRequest): Promise<SyncOutcome>;
}
