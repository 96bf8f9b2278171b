/**
 * How long a node's failed daemon is left alone before it is deleted, and so replaced: 1 s, doubling to 15 min; anew after
 * twice that without a failure. Source: kubernetes/pkg/controller/daemon/daemon_controller.go failedPodsBackoff
 */
const INITIAL_MS = 1000;
const MAX_MS = 15 * 60_000;

interface Entry {
  readonly backoffMs: number;
  readonly atMs: number;
}

export class FailureBackoff {
  readonly #sets = new Map<string, Map<string, Entry>>();

  /** A failed pod on this node is deleted now. */
  note(setUid: string, node: string, nowMs: number): void {
    const nodes = this.#sets.get(setUid) ?? new Map<string, Entry>();
    this.#sets.set(setUid, nodes);
    const last = nodes.get(node);
    const fresh = last === undefined || nowMs - last.atMs > 2 * MAX_MS;
    nodes.set(node, { backoffMs: fresh ? INITIAL_MS : Math.min(MAX_MS, last.backoffMs * 2), atMs: nowMs });
  }

  remainingMs(setUid: string, node: string, nowMs: number): number {
    const entry = this.#sets.get(setUid)?.get(node);
    return entry === undefined ? 0 : Math.max(0, entry.atMs + entry.backoffMs - nowMs);
  }

  forget(setUid: string): void {
    this.#sets.delete(setUid);
  }
}
