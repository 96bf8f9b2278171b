import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readEngine, removeContainersOf } from "./host-engine.ts";

/** An engine's API over a socket: containers are ids with their labels. */
async function withEngine(
  containers: Map<string, Record<string, string>>,
  body: (socket: string, asked: string[]) => Promise<void>,
  answers: Readonly<Record<string, readonly number[]>> = {},
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-host-engine-"));
  const socket = join(folder, "s");
  const asked: string[] = [];
  const queues = new Map(Object.entries(answers).map(([id, statuses]) => [id, [...statuses]]));
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://engine");
    asked.push(`${request.method} ${url.pathname}`);
    if (url.pathname === "/info") {
      return void response.end(JSON.stringify({ DockerRootDir: "/var/lib/docker", CgroupDriver: "systemd" }));
    }
    if (request.method === "GET") {
      const { label } = JSON.parse(url.searchParams.get("filters") ?? "{}") as { label: string[] };
      const [name = "", value = ""] = label[0]?.split("=") ?? [];
      const found = [...containers].filter(([, labels]) => labels[name] === value);
      return void response.end(JSON.stringify(found.map(([Id]) => ({ Id }))));
    }
    const id = url.pathname.split("/").at(-1) ?? "";
    const status = queues.get(id)?.shift() ?? 204;
    if (status !== 409 && status !== 500) containers.delete(id);
    response.writeHead(status).end(status === 204 ? "" : '{"message":"not now"}');
  }).listen(socket);
  await once(server, "listening");
  try {
    await body(socket, asked);
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
}

const owned = (owner: string) => ({ "dev.knarr.cri": "container", "dev.knarr.cri.owner": owner });

test("readEngine() says where the engine keeps its data and who makes its cgroups", async () => {
  await withEngine(new Map(), async (socket) => {
    assert.deepEqual(await readEngine({ socket }), { dataRoot: "/var/lib/docker", cgroupDriver: "systemd" });
    await assert.rejects(readEngine({ socket: `${socket}-absent` }), /ENOENT/);
  });
});

test("removeContainersOf() removes one kubelet's containers and no other", async () => {
  const containers = new Map([
    ["a", owned("/one")],
    ["b", owned("/another")],
    ["c", { "dev.knarr.cri": "container", "dev.knarr.cri.owner": "" }],
    ["d", owned("/one")],
  ]);
  await withEngine(containers, async (socket, asked) => {
    await removeContainersOf("/one", { socket, signal: AbortSignal.timeout(60_000) });
    assert.deepEqual([...containers.keys()], ["b", "c"]);
    assert.deepEqual(asked.filter((line) => line.startsWith("DELETE")).sort(), [
      "DELETE /containers/a",
      "DELETE /containers/d",
    ]);
  });
});

test("removeContainersOf() waits for removals under way, and says what the engine refuses", async () => {
  const containers = new Map([["a", owned("/one")]]);
  const busy = async (socket: string) => {
    await removeContainersOf("/one", { socket, signal: AbortSignal.timeout(60_000) });
    assert.equal(containers.size, 0);
  };
  await withEngine(containers, busy, { a: [409, 404] });
  containers.set("a", owned("/one"));
  const refused = (socket: string) =>
    assert.rejects(removeContainersOf("/one", { socket, signal: AbortSignal.timeout(60_000) }), /500 .*not now/);
  await withEngine(containers, refused, { a: [500] });
});
