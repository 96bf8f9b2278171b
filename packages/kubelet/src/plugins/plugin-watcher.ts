/**
 * Finds plugins by the sockets that they put into ROOTDIR/plugins_registry, registers them with whoever knows their type, and
 * takes that back when the socket goes. A socket made anew is a plugin that started anew.
 *
 * Differs from upstream: folders below the watched one are not looked into; drivers put their socket into the folder itself.
 * Source: pkg/kubelet/pluginmanager
 */
import { type FSWatcher, watch } from "node:fs";
import { lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { Wake } from "../node/wake.ts";

/** As the plugin tells of itself. */
export interface PluginInfo {
  /** "DRAPlugin" */
  readonly type: string;
  readonly name: string;
  /** Path of the socket that serves; "" for the one that was found. */
  readonly endpoint: string;
  readonly supportedVersions: readonly string[];
}

/** Those who use plugins of one type. */
export interface PluginHandler {
  /** Throws when the plugin is of no use; the message goes to it. */
  register(plugin: PluginInfo): Promise<void>;
  /** It went. */
  deregister(plugin: PluginInfo): void;
}

/** The two calls of a plugin's registration service. */
export interface Registration {
  info(signal: AbortSignal): Promise<PluginInfo>;
  notify(error: string, signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface PluginWatcherOptions {
  readonly directory: string;
  readonly handlers: ReadonlyMap<string, PluginHandler>;
  /** Loaded with the first socket. */
  readonly connect: (path: string) => Promise<Registration>;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Found {
  /** Tells one socket at a path from the next. */
  readonly identity: string;
  plugin: PluginInfo | undefined;
  retryAtMs: number;
}

/** The folder is looked at now and then also without a sign: signs can be lost when there are too many at once. */
const LOOK_MS = 30_000;

export class PluginWatcher {
  readonly #options: PluginWatcherOptions;
  readonly #found = new Map<string, Found>();
  readonly #backoff: Backoff;
  readonly #changed = new Wake();

  constructor(options: PluginWatcherOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ initialMs: 500, maxMs: 120_000, factor: 2, jitter: 0 });
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { directory, clock } = this.#options;
    let watcher: FSWatcher | undefined;
    try {
      while (!signal.aborted) {
        const made = await mkdir(directory, { recursive: true, mode: 0o750 });
        // Made anew after somebody took the folder away: what watched the old one sees nothing of it.
        if (made !== undefined || watcher === undefined) {
          watcher?.close();
          watcher = this.#watch();
        }
        const waitMs = await this.look(signal);
        await this.#changed.wait(clock, waitMs, signal);
      }
    } finally {
      watcher?.close();
    }
  }

  #watch(): FSWatcher {
    const { directory, log } = this.#options;
    const watcher = watch(directory, () => this.#changed.ring());
    // Without signs there are still the regular looks.
    watcher.on("error", (err) => log.warn({ err, directory }, "plugins are no longer watched for"));
    return watcher;
  }

  /** One round; milliseconds until the next is due. */
  async look(signal: AbortSignal): Promise<number> {
    const { clock } = this.#options;
    const sockets = await this.#sockets();
    for (const [path, found] of this.#found) {
      if (sockets.get(path) !== found.identity) this.#forget(path, found);
    }
    let waitMs = LOOK_MS;
    for (const [path, identity] of sockets) {
      const found = this.#found.get(path) ?? { identity, plugin: undefined, retryAtMs: 0 };
      this.#found.set(path, found);
      if (found.plugin !== undefined) continue;
      if (found.retryAtMs <= clock.monotonicMs()) await this.#register(path, found, signal);
      if (found.plugin === undefined) waitMs = Math.min(waitMs, Math.max(0, found.retryAtMs - clock.monotonicMs()));
    }
    return waitMs;
  }

  /** By path: what tells this socket from others that were or will be there. */
  async #sockets(): Promise<ReadonlyMap<string, string>> {
    const { directory } = this.#options;
    const sockets = new Map<string, string>();
    const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return []; // Taken away: its plugins went with it.
      throw error;
    });
    for (const name of names) {
      if (name.startsWith(".")) continue;
      const path = join(directory, name);
      const facts = await lstat(path).catch(() => undefined); // Gone since the folder was read.
      if (facts?.isSocket() === true) sockets.set(path, `${facts.ino}/${facts.ctimeMs}`);
    }
    return sockets;
  }

  #forget(path: string, { plugin }: Found): void {
    this.#found.delete(path);
    this.#backoff.reset(path);
    if (plugin === undefined) return;
    this.#options.log.info({ plugin: plugin.name, type: plugin.type, path }, "plugin is gone");
    this.#options.handlers.get(plugin.type)?.deregister(plugin);
  }

  async #register(path: string, found: Found, signal: AbortSignal): Promise<void> {
    const { log, clock } = this.#options;
    try {
      const plugin = await this.#introduce(path, signal);
      found.plugin = plugin;
      this.#backoff.reset(path);
      log.info({ plugin: plugin.name, type: plugin.type, path }, "plugin registered");
    } catch (err) {
      if (signal.aborted) return;
      found.retryAtMs = clock.monotonicMs() + this.#backoff.next(path);
      log.warn({ err, path }, "plugin not registered");
    }
  }

  async #introduce(path: string, signal: AbortSignal): Promise<PluginInfo> {
    const registration = await this.#options.connect(path);
    try {
      const told = await registration.info(signal);
      const plugin = { ...told, endpoint: told.endpoint === "" ? path : told.endpoint };
      try {
        const handler = this.#options.handlers.get(plugin.type);
        if (handler === undefined) {
          throw new Error(`no handler registered for plugin type: ${plugin.type} at socket ${path}`);
        }
        await handler.register(plugin);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        await registration.notify(`RegisterPlugin error -- ${why}`, signal);
        throw error;
      }
      await this.#welcome(registration, plugin, signal);
      return plugin;
    } finally {
      registration.close();
    }
  }

  /** A plugin that does not hear that it is registered may go or try again: until it has heard, it is not. */
  async #welcome(registration: Registration, plugin: PluginInfo, signal: AbortSignal): Promise<void> {
    try {
      await registration.notify("", signal);
    } catch (error) {
      this.#options.handlers.get(plugin.type)?.deregister(plugin);
      throw error;
    }
  }
}
