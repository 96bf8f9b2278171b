/**
 * Follows the logs of the running containers: one follower each, woken by file events, one pump at a time. Owns
 * DIRECTORY/logs/ID with each log's position. Errors do not end a follower: the next event or the next poll tries again.
 */
import { type FSWatcher, watch } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LogFollower } from "./log-follower.ts";

/** Also without events: a full disk that has room again, a folder that could not be watched. */
const POLL_MS = 2000;

interface Followed {
  readonly follower: LogFollower;
  watcher: FSWatcher | undefined;
  /** The pump at work, and whether there is more since it began. */
  queue: Promise<void>;
  waiting: boolean;
  closed: boolean;
}

export class LogKeeper {
  readonly #directory: string;
  readonly #followed = new Map<string, Followed>();
  #poll: NodeJS.Timeout | undefined;

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, "logs");
  }

  /** Follows a container's log from where it was left. Idempotent. Nothing is done for logs that nobody asked for. */
  async follow(id: string, source: string, target: string): Promise<void> {
    if (source === "" || target === "" || this.#followed.has(id)) return;
    const follower = new LogFollower({ source, target, position: join(this.#directory, id) });
    const entry: Followed = { follower, watcher: undefined, queue: Promise.resolve(), waiting: false, closed: false };
    this.#followed.set(id, entry);
    entry.watcher = this.#watch(entry, dirname(source));
    this.#poll ??= setInterval(() => this.#wakeAll(), POLL_MS).unref();
    // So that the file is there when the start returns. A log that can't be written now (a full disk) stops no container:
    // the poll tries again, and nothing is lost meanwhile.
    await this.#run(entry, () => entry.follower.pump()).catch(() => undefined);
  }

  #watch(entry: Followed, directory: string): FSWatcher | undefined {
    try {
      const watcher = watch(directory, () => this.#wake(entry));
      watcher.on("error", () => watcher.close());
      return watcher.unref();
    } catch {
      return undefined; // Too many watches on this machine, or gone already: polling does it.
    }
  }

  #wakeAll(): void {
    for (const entry of this.#followed.values()) this.#wake(entry);
  }

  #wake(entry: Followed): void {
    if (entry.waiting || entry.closed) return;
    entry.waiting = true;
    this.#run(entry, async () => {
      entry.waiting = false;
      await entry.follower.pump();
    }).catch(() => undefined); // The poll tries again; drain() tells.
  }

  /** One thing at a time per log. */
  #run(entry: Followed, work: () => Promise<void>): Promise<void> {
    const result = entry.queue.then(async () => {
      if (!entry.closed) await work();
    });
    entry.queue = result.catch(() => undefined);
    return result;
  }

  /** Returns when all that Docker has of a followed log is in the CRI log. A log that can't be written is not waited for. */
  async drain(id: string): Promise<void> {
    const entry = this.#followed.get(id);
    if (entry === undefined) return;
    await this.#run(entry, () => entry.follower.pump()).catch(() => undefined);
  }

  /** The CRI log was renamed: goes on at its path. */
  async reopen(id: string): Promise<void> {
    const entry = this.#followed.get(id);
    if (entry !== undefined) await this.#run(entry, () => entry.follower.reopen());
  }

  isFollowed(id: string): boolean {
    return this.#followed.has(id);
  }

  /** The container is gone: so is its position. */
  async forget(id: string): Promise<void> {
    const entry = this.#followed.get(id);
    this.#followed.delete(id);
    if (entry !== undefined) await this.#close(entry);
    await rm(join(this.#directory, id), { force: true });
  }

  async #close(entry: Followed): Promise<void> {
    entry.watcher?.close();
    await this.#run(entry, async () => {
      entry.closed = true;
      await entry.follower.close();
    });
  }

  /** Stops following; positions stay. */
  async close(): Promise<void> {
    clearInterval(this.#poll);
    const entries = [...this.#followed.values()];
    this.#followed.clear();
    await Promise.all(entries.map((entry) => this.#close(entry)));
  }
}
