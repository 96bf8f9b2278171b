import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { core } from "@knarr/api/generated/resources.ts";
import { isConflict, isExpired, isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import { fastClock } from "@knarr/testkit/fake-clock.ts";
import { Client } from "./client.ts";
import { ConnectionError } from "./connection-error.ts";
import { configMap, json, status, TestServer } from "./test-server.ts";

let server: TestServer;
let client: Client;
const key = { namespace: "default", name: "a" };

beforeEach(async () => {
  server = await TestServer.start((_request, response) => json(response, 500, {}));
  client = new Client({ server: server.url, token: "secret" }, { clock: fastClock(100) });
});
afterEach(async () => {
  client.close();
  await server.stop();
});

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const event of events) all.push(event);
  return all;
}

test("Client.get() asks for the object's path with the token", async () => {
  server.handler = (_request, response) => json(response, 200, configMap("a", 1));
  const object = await client.get(core.configmaps, key);
  assert.equal(object.metadata.name, "a");
  assert.equal(server.requests[0]?.path, "/api/v1/namespaces/default/configmaps/a");
  assert.equal(server.requests[0]?.headers.authorization, "Bearer secret");
});

test("Client.list() gives items their apiVersion and kind when the server leaves them out", async () => {
  const item = { metadata: { name: "a", namespace: "default", resourceVersion: "3" } };
  server.handler = (_request, response) => json(response, 200, { metadata: { resourceVersion: "9" }, items: [item] });
  const list = await client.list(core.configmaps, { namespace: "default", labelSelector: "a=b", limit: 5 });
  assert.deepEqual([list.items[0]?.kind, list.items[0]?.apiVersion], ["ConfigMap", "v1"]);
  assert.equal(server.requests[0]?.query.toString(), "labelSelector=a%3Db&limit=5");
});

test("Client.list() returns an empty list when the server sends items: null", async () => {
  server.handler = (_request, response) => json(response, 200, { metadata: {}, items: null });
  assert.deepEqual((await client.list(core.configmaps)).items, []);
});

for (const [code, reason, is] of [
  [404, "NotFound", isNotFound],
  [409, "Conflict", isConflict],
  [410, "Expired", isExpired],
] as const) {
  test(`Client.get() throws a StatusError when the server answers ${code}`, async () => {
    server.handler = (_request, response) => json(response, code, status(code, reason, "why"));
    await assert.rejects(client.get(core.configmaps, key), (error) => is(error) && (error as Error).message === "why");
  });
}

test("Client.get() throws a StatusError with a reason when the answer is no Status", async () => {
  server.handler = (_request, response) => response.writeHead(403).end("nope");
  await assert.rejects(
    client.get(core.configmaps, key),
    (error) => error instanceof StatusError && error.reason === "Forbidden" && error.message === "nope",
  );
});

for (const code of [429, 503]) {
  test(`Client.create() tries again when the server answers ${code} with Retry-After`, async () => {
    let left = 2;
    server.handler = (_request, response) => {
      if (left-- > 0) json(response, code, status(code, "TooManyRequests"), { "retry-after": "1" });
      else json(response, 201, configMap("a", 1));
    };
    await client.create(core.configmaps, { metadata: { namespace: "default", name: "a" } });
    assert.equal(server.requests.length, 3);
    assert.equal(server.requests[2]?.body, '{"metadata":{"namespace":"default","name":"a"}}');
  });
}

test("Client.get() gives up when the server asks to wait past the deadline", async () => {
  server.handler = (_request, response) => json(response, 429, status(429, "TooManyRequests"), { "retry-after": "90" });
  await assert.rejects(client.get(core.configmaps, key), (error) => error instanceof StatusError && error.code === 429);
  assert.equal(server.requests.length, 1);
});

test("Client.get() does not repeat a 500 without Retry-After", async () => {
  server.handler = (_request, response) => json(response, 500, status(500, "InternalError"));
  await assert.rejects(client.get(core.configmaps, key), StatusError);
  assert.equal(server.requests.length, 1);
});

test("Client.get() throws ConnectionError ETIMEDOUT when the server never answers", async () => {
  server.handler = () => {};
  await assert.rejects(
    client.get(core.configmaps, key, { timeoutMs: 1000 }),
    (error) => error instanceof ConnectionError && error.code === "ETIMEDOUT",
  );
});

test("Client.get() throws ConnectionError when the body stalls", async () => {
  server.handler = (_request, response) => response.writeHead(200, { "content-length": "100" }).write("{");
  await assert.rejects(
    client.get(core.configmaps, key, { timeoutMs: 1000 }),
    (error) => error instanceof ConnectionError && error.code === "ETIMEDOUT",
  );
});

test("Client.get() throws ConnectionError when the body is cut", async () => {
  server.handler = (_request, response) => {
    response.writeHead(200, { "content-length": "100" }).write("{");
    setImmediate(() => response.destroy());
  };
  await assert.rejects(client.get(core.configmaps, key), ConnectionError);
});

test("Client.get() throws the signal's reason when aborted in flight", async () => {
  const controller = new AbortController();
  server.handler = () => controller.abort(new Error("enough"));
  await assert.rejects(client.get(core.configmaps, key, { signal: controller.signal }), /enough/);
});

test("Client.get() throws ConnectionError ECONNREFUSED when nobody listens", async () => {
  const { url } = server;
  await server.stop();
  const lonely = new Client({ server: url });
  await assert.rejects(
    lonely.get(core.configmaps, key),
    (error) => error instanceof ConnectionError && error.code === "ECONNREFUSED",
  );
  server = await TestServer.start(() => {});
});

test("Client.get() is sent again when the kept-alive connection was just closed by the server", async () => {
  server.handler = (_request, response, raw) => {
    if (server.requests.length === 2) raw.socket.resetAndDestroy();
    else json(response, 200, configMap("a", 1));
  };
  await client.get(core.configmaps, key);
  await client.get(core.configmaps, key);
  assert.equal(server.requests.length, 3);
});

test("Client asks for a fresh token once when the server answers 401", async () => {
  let generation = 1;
  const rotating = new Client({
    server: server.url,
    token: async () => `token-${generation}`,
    refreshToken: () => generation++,
  });
  server.handler = (request, response) =>
    request.headers.authorization === "Bearer token-2"
      ? json(response, 200, configMap("a", 1))
      : json(response, 401, status(401, "Unauthorized"));
  await rotating.get(core.configmaps, key);
  assert.equal(generation, 2);
  rotating.close();
});

test("Client.patch() names the patch type in its Content-Type and query", async () => {
  server.handler = (_request, response) => json(response, 200, configMap("a", 1));
  const patch = { type: "apply", body: { data: { a: "b" } } } as const;
  await client.patch(core.configmaps, key, patch, { fieldManager: "me", force: true, subresource: "status" });
  const [request] = server.requests;
  assert.equal(request?.headers["content-type"], "application/apply-patch+yaml");
  assert.equal(request?.path, "/api/v1/namespaces/default/configmaps/a/status");
  assert.equal(request?.query.toString(), "fieldManager=me&force=true");
});

test("Client.delete() sends its options as a body", async () => {
  server.handler = (_request, response) => json(response, 200, configMap("a", 1));
  await client.delete(core.configmaps, key, { gracePeriodSeconds: 0, preconditions: { uid: "u" } });
  assert.deepEqual(JSON.parse(server.requests[0]?.body ?? ""), {
    kind: "DeleteOptions",
    apiVersion: "v1",
    gracePeriodSeconds: 0,
    preconditions: { uid: "u" },
  });
});

test("Client.watch() yields events and ends when the server ends the stream", async () => {
  server.handler = (_request, response) => {
    response.writeHead(200);
    const text = `${JSON.stringify({ type: "ADDED", object: configMap("ä", 1) })}\n`;
    const bytes = Buffer.from(text);
    response.write(bytes.subarray(0, 60));
    setImmediate(() => response.end(bytes.subarray(60)));
  };
  const events = await collect(client.watch(core.configmaps, { signal: new AbortController().signal }));
  assert.deepEqual(
    events.map((event) => [event.type, event.object.metadata.name]),
    [["ADDED", "ä"]],
  );
});

const watchFailures: { name: string; send: (response: import("node:http").ServerResponse) => void; want: RegExp }[] = [
  {
    name: "an ERROR event comes",
    send: (response) =>
      response.end(`${JSON.stringify({ type: "ERROR", object: status(410, "Expired", "too old") })}\n`),
    want: /too old/,
  },
  {
    name: "the stream is cut within a frame",
    send: (response) => response.write('{"type":"ADDED"', () => response.destroy()),
    want: /cut off/,
  },
  {
    name: "the stream ends within a frame",
    send: (response) => response.end('{"type":"ADDED"'),
    want: /within an event/,
  },
  { name: "a line is no JSON", send: (response) => response.end("hello\n"), want: /not an event/ },
];
for (const { name, send, want } of watchFailures) {
  test(`Client.watch() throws when ${name}`, async () => {
    server.handler = (_request, response) => {
      response.writeHead(200);
      send(response);
    };
    const { signal } = new AbortController();
    await assert.rejects(collect(client.watch(core.configmaps, { signal })), want);
  });
}

test("Client.watch() throws ETIMEDOUT when the stream is silent for longer than allowed", async () => {
  server.handler = (_request, response) => response.writeHead(200).flushHeaders();
  const { signal } = new AbortController();
  await assert.rejects(
    collect(client.watch(core.configmaps, { signal, idleTimeoutMs: () => 2000 })),
    (error) => error instanceof ConnectionError && error.code === "ETIMEDOUT",
  );
});

test("Client.watch() hangs up when the server outlives timeoutSeconds", async () => {
  server.handler = (_request, response) => response.writeHead(200).flushHeaders();
  const { signal } = new AbortController();
  await assert.rejects(collect(client.watch(core.configmaps, { signal, timeoutSeconds: 1 })), /outlived/);
});

test("Client.watch() throws the signal's reason when aborted while waiting", async () => {
  const controller = new AbortController();
  server.handler = (_request, response) => {
    response.writeHead(200).flushHeaders();
    setImmediate(() => controller.abort(new Error("enough")));
  };
  await assert.rejects(collect(client.watch(core.configmaps, { signal: controller.signal })), /enough/);
});

test("Client sends no write, but reads, when beforeWrite throws", async () => {
  server.handler = (_request, response) => json(response, 200, configMap("a", 1));
  const refusal = new Error("not leading");
  const beforeWrite = () => {
    throw refusal;
  };
  const reader = new Client({ server: server.url }, { clock: fastClock(100), beforeWrite });
  await reader.get(core.configmaps, key);
  await assert.rejects(reader.delete(core.configmaps, key), refusal);
  reader.close();
  assert.deepEqual(
    server.requests.map(({ method }) => method),
    ["GET"],
  );
});
