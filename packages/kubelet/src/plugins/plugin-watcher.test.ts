import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import { PluginWatcher } from "./plugin-watcher.ts";

const never = new AbortController().signal;

interface Stage {
  readonly watcher: PluginWatcher;
  readonly clock: FakeClock;
  readonly directory: string;
  /** What happened, in order. */
  readonly told: string[];
  /** How plugins behave; edited by tests. */
  readonly plugin: { type: string; endpoint: string; infoFails: boolean; notifyFails: boolean; refuses: boolean };
  listen(name: string): Promise<Server>;
  close(server: Server): Promise<void>;
}

async function onStage(play: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "knarr-plugins-"));
  const clock = new FakeClock();
  const told: string[] = [];
  const plugin = { type: "DRAPlugin", endpoint: "", infoFails: false, notifyFails: false, refuses: false };
  const servers = new Set<Server>();
  const short = (path: string) => basename(path);
  const watcher = new PluginWatcher({
    ...{ directory, clock, log: createLogger({ name: "test", level: "silent" }) },
    handlers: new Map([
      [
        "DRAPlugin",
        {
          register: async ({ name, endpoint }) => {
            if (plugin.refuses) throw new Error("not wanted");
            told.push(`register ${name} ${short(endpoint)}`);
          },
          deregister: ({ name, endpoint }) => void told.push(`deregister ${name} ${short(endpoint)}`),
        },
      ],
    ]),
    connect: async (path) => ({
      info: async () => {
        if (plugin.infoFails) throw new Error("no answer");
        return { type: plugin.type, name: short(path), endpoint: plugin.endpoint, supportedVersions: [] };
      },
      notify: async (error) => {
        if (plugin.notifyFails) throw new Error("no answer");
        told.push(`notify ${short(path)} ${error.replace(directory, "DIR")}`.trim());
      },
      close: () => undefined,
    }),
  });
  const close = (server: Server) => {
    servers.delete(server);
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  const listen = async (name: string) => {
    const server = createServer();
    servers.add(server);
    await new Promise<void>((resolve) => server.listen(join(directory, name), resolve));
    return server;
  };
  try {
    await play({ watcher, clock, directory, told, plugin, listen, close });
  } finally {
    for (const server of servers) await close(server);
    await rm(directory, { recursive: true });
  }
}

test("PluginWatcher registers what is behind a socket once, and takes it back when the socket goes", () =>
  onStage(async ({ watcher, told, directory, listen, close }) => {
    await writeFile(join(directory, "no-socket"), "");
    const hidden = await listen(".hidden");
    const server = await listen("a.sock");
    await watcher.look(never);
    await watcher.look(never);
    assert.deepEqual(told, ["register a.sock a.sock", "notify a.sock"]);
    await close(server);
    await watcher.look(never);
    assert.deepEqual(told.slice(2), ["deregister a.sock a.sock"]);
    await close(hidden);
  }));

test("PluginWatcher takes a socket made anew for a plugin that started anew", () =>
  onStage(async ({ watcher, told, plugin, listen, close }) => {
    plugin.endpoint = "/run/driver.sock";
    const first = await listen("a.sock");
    await watcher.look(never);
    await close(first);
    await listen("a.sock");
    await watcher.look(never);
    const once = ["register a.sock driver.sock", "notify a.sock"];
    assert.deepEqual(told, [...once, "deregister a.sock driver.sock", ...once]);
  }));

test("PluginWatcher asks again, ever more slowly, a plugin that does not answer", () =>
  onStage(async ({ watcher, clock, told, plugin, listen }) => {
    plugin.infoFails = true;
    await listen("a.sock");
    assert.equal(await watcher.look(never), 500);
    await clock.advance(500);
    assert.equal(await watcher.look(never), 1_000);
    await clock.advance(999);
    plugin.infoFails = false;
    assert.equal(await watcher.look(never), 1);
    assert.deepEqual(told, []);
    await clock.advance(1);
    assert.equal(await watcher.look(never), 30_000);
    assert.deepEqual(told, ["register a.sock a.sock", "notify a.sock"]);
  }));

test("PluginWatcher tells a plugin of a type that nobody knows, and one that is refused, why", () =>
  onStage(async ({ watcher, clock, told, plugin, listen }) => {
    plugin.type = "CSIPlugin";
    await listen("a.sock");
    await watcher.look(never);
    plugin.type = "DRAPlugin";
    plugin.refuses = true;
    await clock.advance(500);
    await watcher.look(never);
    assert.deepEqual(told, [
      "notify a.sock RegisterPlugin error -- no handler registered for plugin type: CSIPlugin at socket DIR/a.sock",
      "notify a.sock RegisterPlugin error -- not wanted",
    ]);
  }));

test("PluginWatcher does not keep a plugin that did not hear that it is registered", () =>
  onStage(async ({ watcher, told, plugin, listen }) => {
    plugin.notifyFails = true;
    await listen("a.sock");
    assert.equal(await watcher.look(never), 500);
    assert.deepEqual(told, ["register a.sock a.sock", "deregister a.sock a.sock"]);
  }));

test("PluginWatcher lets plugins go whose folder was taken away, and makes it anew for those that come", () =>
  onStage(async ({ watcher, clock, told, directory, listen, close }) => {
    const server = await listen("a.sock");
    await watcher.look(never);
    await close(server);
    await rm(directory, { recursive: true });
    assert.equal(await watcher.look(never), 30_000);
    assert.deepEqual(told.slice(2), ["deregister a.sock a.sock"]);
    const stop = new AbortController();
    const running = watcher.run(stop.signal);
    for (let i = 0; !(await readdir(directory).catch(() => undefined)) && i < 1_000; i++) await clock.advance(0);
    stop.abort();
    await running;
    assert.deepEqual(await readdir(directory), []);
  }));
