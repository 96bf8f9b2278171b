/** A child of the benchmark: lists over and over on many connections until its parent ends it. Arguments: port, connections, folder. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";

const [port = "0", connections = "1", dir = "."] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(dir, name));
const agent = new Agent({
  keepAlive: true,
  maxSockets: Number(connections),
  ca: read("ca.crt"),
  cert: read("flooder.crt"),
  key: read("flooder.key"),
});
const counts: Record<string, number> = {};

function list(): Promise<void> {
  return new Promise((resolve) => {
    const outgoing = request(
      { host: "127.0.0.1", port, agent, path: "/api/v1/namespaces/default/configmaps" },
      (response) => {
        counts[response.statusCode ?? 0] = (counts[response.statusCode ?? 0] ?? 0) + 1;
        response.resume().once("close", resolve);
      },
    );
    // The server of the last phase is gone: the parent ends us.
    outgoing.once("error", () => setTimeout(resolve, 100));
    outgoing.end();
  });
}

process.on("disconnect", () => process.exit(0));
process.on("message", () => process.send?.(counts));
for (let i = 0; i < Number(connections); i++) {
  void (async () => {
    for (;;) await list();
  })();
}
