import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { fastClock } from "@knarr/testkit/fake-clock.ts";
import { Client } from "./client.ts";
import { Informer, InformerSet } from "./informer.ts";
import { configMap, json, type SeenRequest, status, TestServer } from "./test-server.ts";

let server: TestServer;
let client: Client;
let stop: AbortController;
let running: Promise<void>;
const clock = fastClock(100);

beforeEach(async () => {
  server = await TestServer.start(() => {});
  client = new Client({ server: server.url }, { clock });
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await running;
  client.close();
  await server.stop();
});

const line = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`;
const bookmark = (version: number, end = false) =>
  line("BOOKMARK", {
    kind: "ConfigMap",
    metadata: {
      resourceVersion: String(version),
      ...(end ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
    },
  });
const isStreamingList = (request: SeenRequest) => request.query.get("sendInitialEvents") === "true";
const isWatch = (request: SeenRequest) => request.query.get("watch") === "true";

function start(options: ConstructorParameters<typeof Informer<ConfigMap>>[2] = {}): {
  informer: Informer<ConfigMap>;
  seen: string[];
  until: (text: string) => Promise<void>;
} {
  const informer = new Informer<ConfigMap>(client, core.configmaps, { clock, ...options });
  const seen: string[] = [];
  const waiters = new Map<string, () => void>();
  const tell = (text: string) => {
    seen.push(text);
    waiters.get(text)?.();
  };
  informer.subscribe({
    added: (o) => tell(`+${o.metadata.name}@${o.metadata.resourceVersion}`),
    updated: (old, o) => tell(`${o.metadata.name}:${old.metadata.resourceVersion}>${o.metadata.resourceVersion}`),
    deleted: (o) => tell(`-${o.metadata.name}`),
  });
  running = informer.run(stop.signal);
  const until = (text: string) =>
    seen.includes(text) ? Promise.resolve() : new Promise<void>((resolve) => waiters.set(text, resolve));
  return { informer, seen, until };
}

test("Informer lists by one streaming watch and goes on with it", async () => {
  server.handler = (request, response) => {
    assert.ok(isStreamingList(request));
    assert.equal(request.query.get("resourceVersionMatch"), "NotOlderThan");
    response.write(line("ADDED", configMap("a", 1)) + line("ADDED", configMap("b", 2)) + bookmark(5, true));
    setImmediate(() => response.write(line("MODIFIED", configMap("a", 6)) + line("DELETED", configMap("b", 7))));
  };
  const { informer, seen, until } = start();
  await informer.waitForSync(stop.signal);
  await until("-b");
  assert.deepEqual(seen, ["+a@1", "+b@2", "a:1>6", "-b"]);
  assert.deepEqual(
    informer.list("default").map((o) => o.metadata.name),
    ["a"],
  );
  assert.ok(Object.isFrozen(informer.get({ namespace: "default", name: "a" })?.metadata));
});

test("Informer is not synced, and tells nothing, before the initial events end", async () => {
  const wrote = Promise.withResolvers<ServerResponse>();
  server.handler = (_request, response) => {
    response.write(line("ADDED", configMap("a", 1)), () => wrote.resolve(response));
  };
  const { informer, seen } = start();
  const response = await wrote.promise;
  assert.equal(informer.synced, false);
  assert.deepEqual(seen, []);
  response.write(bookmark(5, true));
  await informer.waitForSync(stop.signal);
  assert.deepEqual(seen, ["+a@1"]);
});

test("Informer falls back to LIST and WATCH when the server refuses initial events", async () => {
  server.handler = (request, response) => {
    if (isStreamingList(request)) return json(response, 422, status(422, "Invalid"));
    if (isWatch(request)) {
      assert.equal(request.query.get("resourceVersion"), "4");
      return void response.write(line("ADDED", configMap("b", 5)));
    }
    const more = request.query.get("continue") === null;
    const metadata = { resourceVersion: "4", ...(more ? { continue: "more" } : {}) };
    json(response, 200, { metadata, items: [configMap(more ? "a" : "a2", 1)] });
  };
  const { seen, until } = start();
  await until("+b@5");
  assert.deepEqual(seen, ["+a@1", "+a2@1", "+b@5"]);
});

test("Informer falls back to LIST when the server ignores sendInitialEvents and stays silent", async () => {
  server.handler = (request, response) => {
    if (isStreamingList(request)) response.writeHead(200).flushHeaders();
    else if (isWatch(request)) response.writeHead(200).flushHeaders();
    else json(response, 200, { metadata: { resourceVersion: "4" }, items: [configMap("a", 1)] });
  };
  const { informer } = start();
  await informer.waitForSync(stop.signal);
  assert.equal(informer.list().length, 1);
});

test("Informer watches on from the last bookmark when the connection is cut", async () => {
  server.handler = (request, response) => {
    if (isStreamingList(request)) {
      response.write(line("ADDED", configMap("a", 1)) + bookmark(5, true) + bookmark(9), () => response.destroy());
      return;
    }
    assert.equal(request.query.get("resourceVersion"), "9");
    response.write(line("MODIFIED", configMap("a", 10)));
  };
  const { seen, until } = start();
  await until("a:1>10");
  assert.deepEqual(seen, ["+a@1", "a:1>10"]);
});

test("Informer lists again and tells the difference when the watch's version expired", async () => {
  let lists = 0;
  server.handler = (request, response) => {
    if (!isStreamingList(request)) return void response.end(line("ERROR", status(410, "Expired")));
    if (++lists === 1) {
      const all = [configMap("a", 1), configMap("b", 2), configMap("c", 3)].map((o) => line("ADDED", o)).join("");
      return void response.end(all + bookmark(5, true));
    }
    assert.equal(request.query.get("resourceVersion"), "");
    response.write(
      line("ADDED", configMap("a", 1)) + line("ADDED", configMap("c", 8)) + line("ADDED", configMap("d", 9)),
    );
    response.write(bookmark(10, true));
  };
  const { seen, until } = start();
  await until("-b");
  assert.deepEqual(seen, ["+a@1", "+b@2", "+c@3", "c:3>8", "+d@9", "-b"]);
});

test("Informer keeps what it has and recovers when the server is down for a while", async () => {
  let down = false;
  server.handler = (request, response) => {
    if (down) return void response.destroy();
    if (isStreamingList(request)) response.write(line("ADDED", configMap("a", 1)) + bookmark(5, true));
    else response.write(line("MODIFIED", configMap("a", 6)));
  };
  const { informer, seen, until } = start();
  await until("+a@1");
  down = true;
  server.cut();
  while (server.requests.length < 4) await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal(informer.list().length, 1);
  assert.equal(informer.synced, true);
  down = false;
  await until("a:1>6");
  assert.deepEqual(seen, ["+a@1", "a:1>6"]);
});

test("Informer opens a new watch when a stream that had bookmarks falls silent", async () => {
  server.handler = (request, response) => {
    if (isStreamingList(request)) response.write(line("ADDED", configMap("a", 1)) + bookmark(5, true));
    else response.write(line("MODIFIED", configMap("a", 6)));
  };
  const { until } = start();
  await until("a:1>6");
});

test("Informer goes on when its token expires in the middle of a watch, and waits while there is no better one", async () => {
  let generation = 1;
  let accepted = 1;
  client = new Client(
    { server: server.url, token: async () => `token-${generation}`, refreshToken: () => generation++ },
    { clock },
  );
  server.handler = (request, response) => {
    if (request.headers.authorization !== `Bearer token-${accepted}`) {
      return json(response, 401, status(401, "Unauthorized"));
    }
    const list = isStreamingList(request);
    response.write(
      list ? line("ADDED", configMap("a", accepted)) + bookmark(accepted, true) : line("ADDED", configMap("b", 9)),
    );
  };
  const { informer, until } = start();
  await until("+a@1");
  accepted = 4;
  server.cut();
  await until("+b@9");
  assert.deepEqual(
    informer
      .list()
      .map(({ metadata }) => metadata.name)
      .sort(),
    ["a", "b"],
  );
});

test("Informer waits as long as 429 asks, and does not list again for it", async () => {
  let refused = 0;
  server.handler = (request, response) => {
    if (isStreamingList(request)) return void response.end(line("ADDED", configMap("a", 1)) + bookmark(5, true));
    if (refused++ < 2) return json(response, 429, status(429, "TooManyRequests"));
    assert.equal(request.query.get("resourceVersion"), "5");
    response.write(line("MODIFIED", configMap("a", 6)));
  };
  const { until } = start();
  await until("a:1>6");
});

test("Informer tells of a deletion and an addition when an object was replaced unseen", async () => {
  server.handler = (request, response) => {
    if (isStreamingList(request)) return void response.end(line("ADDED", configMap("a", 1)) + bookmark(5, true));
    const again = configMap("a", 7) as ConfigMap;
    again.metadata.uid = "other";
    response.write(line("MODIFIED", again));
  };
  const { seen, until } = start();
  await until("+a@7");
  assert.deepEqual(seen, ["+a@1", "-a", "+a@7"]);
});

test("Informer.byIndex() follows changes of the indexed value", async () => {
  server.handler = (_request, response) => {
    response.write(line("ADDED", configMap("a", 1, { color: "red" })) + bookmark(5, true));
    response.write(line("MODIFIED", configMap("a", 6, { color: "blue" })));
  };
  const { informer, until } = start({ indexers: { color: (o) => [o.data?.color ?? ""] } });
  await until("a:1>6");
  assert.equal(informer.byIndex("color", "red").length, 0);
  assert.equal(informer.byIndex("color", "blue").length, 1);
  assert.throws(() => informer.byIndex("size", "1"), RangeError);
});

test("Informer tells handlers of everything again every resyncMs", async () => {
  server.handler = (_request, response) => response.write(line("ADDED", configMap("a", 1)) + bookmark(5, true));
  const { until } = start({ resyncMs: 1000 });
  await until("a:1>1");
});

test("Informer goes on telling other handlers when one throws", async () => {
  server.handler = (_request, response) => response.write(line("ADDED", configMap("a", 1)) + bookmark(5, true));
  const { informer, until } = start();
  informer.subscribe({
    added: () => {
      throw new Error("bug");
    },
  });
  await until("+a@1");
});

test("InformerSet shares an informer for the same arguments and starts late ones", async () => {
  server.handler = (_request, response) => response.write(bookmark(5, true));
  const set = new InformerSet(client, { clock });
  const first = set.informer(core.configmaps);
  assert.equal(set.informer(core.configmaps), first);
  assert.notEqual(set.informer(core.configmaps, { namespace: "x" }), first);
  running = set.run(stop.signal);
  const late = set.informer(core.secrets);
  await set.waitForSync(stop.signal);
  assert.ok(first.synced && late.synced);
  assert.deepEqual(set.unsynced, []);
});
