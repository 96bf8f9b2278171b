/**
 * Whether the proxy keeps up: healthy while no change has waited longer than the limit for its rules.
 * Source: KEP-3836; upstream serves the same bodies on 10256
 */
import type { Node } from "@knarr/api/generated/types/core-v1.ts";

export class ProxyHealth {
  readonly #limitMs: number;
  #lastUpdatedMs: number | undefined;
  #oldestPendingMs: number | undefined;
  #nodeEligible = true;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** A change arrived that the rules don't show yet. */
  queued(nowMs: number): void {
    this.#oldestPendingMs ??= nowMs;
  }

  /** The rules show everything that was queued before `startedMs`, which is when that sync began. */
  updated(nowMs: number, startedMs: number): void {
    this.#lastUpdatedMs = nowMs;
    if (this.#oldestPendingMs !== undefined && this.#oldestPendingMs <= startedMs) this.#oldestPendingMs = undefined;
  }

  /** A node that is leaving should get no new connections from load balancers. */
  nodeSeen(node: Node | undefined): void {
    const leaving = node?.spec?.taints?.some((taint) => taint.key === "ToBeDeletedByClusterAutoscaler") ?? false;
    this.#nodeEligible = node === undefined || (node.metadata.deletionTimestamp === undefined && !leaving);
  }

  isHealthy(nowMs: number): boolean {
    return this.#oldestPendingMs === undefined || nowMs - this.#oldestPendingMs < this.#limitMs;
  }

  /** The answer to a request: /healthz asks about the node too, /livez about the proxy alone. */
  answer(endpoint: "healthz" | "livez", nowMs: number): { readonly status: 200 | 503; readonly body: string } {
    const healthy = this.isHealthy(nowMs);
    const well = endpoint === "livez" ? healthy : healthy && this.#nodeEligible;
    const lastUpdated = goTime(well ? nowMs : (this.#lastUpdatedMs ?? nowMs));
    const eligible = endpoint === "healthz" ? `, "nodeEligible": ${this.#nodeEligible}` : "";
    const body = `{"lastUpdated": "${lastUpdated}","currentTime": "${goTime(nowMs)}"${eligible}}`;
    return { status: well ? 200 : 503, body };
  }
}

/** As Go prints a time: "2026-05-01 10:00:00.123 +0000 UTC". */
function goTime(ms: number): string {
  return new Date(ms).toISOString().replace("T", " ").replace("Z", " +0000 UTC");
}
