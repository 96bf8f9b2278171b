/** One fuzz run over a server of its own: starts it, prepares objects to shoot at, fuzzes, looks at process and log. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd } from "@knarr/testkit/start-etcd.ts";
import { type FuzzResult, fuzz } from "./fuzzer.ts";
import { SEEDS } from "./shots.ts";

export interface FuzzReport extends FuzzResult {
  /** Lines that the server logged as errors or worse. */
  readonly loggedErrors: readonly string[];
  /** Largest resident set of the server. */
  readonly peakMiB: number;
  readonly survived: boolean;
}

export async function fuzzServer(options: {
  readonly seed: number;
  /** How long, or how many shots. */
  readonly seconds?: number;
  readonly shots?: number;
  /** Only this one. */
  readonly shot?: number;
}): Promise<FuzzReport> {
  const etcd = await startEtcd();
  try {
    const api = await startApiserver({ etcd });
    try {
      return await run(api, options);
    } finally {
      await api.stop();
    }
  } finally {
    await etcd.stop();
  }
}

async function run(
  api: TestApiserver,
  { seed, seconds = Number.POSITIVE_INFINITY, shots: wanted, shot }: Parameters<typeof fuzzServer>[0],
): Promise<FuzzReport> {
  const { ca, cert, key } = api.admin;
  if (ca === undefined || cert === undefined || key === undefined) throw new Error("no credentials");
  const agent = new Agent({ keepAlive: true, ca, cert, key, maxSockets: 64 });
  try {
    for (const { path, body } of SEEDS) {
      const status = await post(api.port, agent, path, body);
      if (status !== 201) throw new Error(`the seed ${path} was answered ${status}`);
    }
    const deadline = performance.now() + seconds * 1_000;
    const enough = shot === undefined ? (wanted ?? Number.POSITIVE_INFINITY) : 1;
    const until = (shots: number) => shots >= enough || performance.now() > deadline;
    const result = await fuzz(
      { port: api.port, agent },
      { seed, ...(shot === undefined ? {} : { from: shot }), until },
    );
    const status = readFileSync(`/proc/${api.pid}/status`, "utf8");
    const peakMiB = Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    return { ...result, loggedErrors: errorsOf(api.output), peakMiB, survived: peakMiB > 0 };
  } finally {
    agent.destroy();
  }
}

function errorsOf(output: string): string[] {
  return output.split("\n").filter((line) => {
    const level = /^\{"level":"?(\w+)/.exec(line)?.[1];
    return level === "error" || level === "fatal" || level === "50" || level === "60";
  });
}

async function post(port: number, agent: Agent, path: string, body: object): Promise<number> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      { host: "127.0.0.1", port, agent, method: "POST", path, headers: { "content-type": "application/json" } },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode ?? 0));
      },
    );
    outgoing.once("error", reject);
    outgoing.end(JSON.stringify(body));
  });
}
