/**
 * One attempt at a write: what hooks may know, and what must happen when it succeeds or fails. A guarded update may take
 * several attempts; each rolls back what the one before it had taken.
 */
import type { Logger } from "@knarr/daemon/logger.ts";
import type { UserInfo } from "../authn/types.ts";

type Action = () => Promise<void> | void;

export class WriteScope {
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly subresource: string;
  readonly warn: (text: string) => void;
  readonly #log: Logger;
  #commits: Action[] = [];
  #rollbacks: Action[] = [];

  constructor(options: {
    readonly user: UserInfo;
    readonly dryRun: boolean;
    readonly subresource: string;
    readonly warn: (text: string) => void;
    readonly log: Logger;
  }) {
    this.user = options.user;
    this.dryRun = options.dryRun;
    this.subresource = options.subresource;
    this.warn = options.warn;
    this.#log = options.log;
  }

  /** Runs after the object is stored (never for a dry run). A failure is logged: the write stands, a repair loop follows. */
  onCommit(action: Action): void {
    this.#commits.push(action);
  }

  /** Runs when this attempt comes to nothing, last first. */
  onRollback(action: Action): void {
    this.#rollbacks.push(action);
  }

  async commit(): Promise<void> {
    this.#rollbacks = [];
    const actions = this.#commits.splice(0);
    if (!this.dryRun) for (const action of actions) await this.#run(action, "after a write");
  }

  async rollback(): Promise<void> {
    this.#commits = [];
    for (const action of this.#rollbacks.splice(0).reverse()) await this.#run(action, "undoing a write");
  }

  async #run(action: Action, when: string): Promise<void> {
    try {
      await action();
    } catch (error) {
      // The write's outcome is decided; what is left over is found by the repair loop.
      this.#log.error({ err: error, when }, "follow-up of a write failed");
    }
  }
}
