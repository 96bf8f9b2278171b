/** Runs one load in a process of its own and watches what it costs whom. */
import { type ChildProcess, fork } from "node:child_process";
import type { BareServerJob } from "./bare-server.ts";
import type { LoadJob, LoadMessage, LoadResult } from "./job.ts";
import { watchCores } from "./processor-time.ts";
import type { LoadFigures } from "./result.ts";

export interface LoadContext {
  /** The cluster's components. */
  readonly pids: ReadonlyMap<string, number>;
  readonly signal: AbortSignal;
}

/** Beyond warm-up and measurement: starting, connecting, the last answers. */
const SPARE_MS = 30_000;
/** Names that no component has. */
const CLIENT = "the load process";
const BARE = "the bare server";

function forkModule(name: string, signal: AbortSignal): ChildProcess {
  const execArgv = ["--disable-warning=ExperimentalWarning"];
  return fork(new URL(name, import.meta.url), { execArgv, signal, stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

export async function runLoad(name: string, job: LoadJob, context: LoadContext, bare?: ChildProcess) {
  const { pids } = context;
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(job.warmUpMs + job.measureMs + SPARE_MS)]);
  const child = forkModule("load-process.ts", signal);
  const watched = new Map(pids).set(CLIENT, child.pid ?? 0);
  if (bare?.pid !== undefined) watched.set(BARE, bare.pid);
  try {
    let watching: ReturnType<typeof watchCores> | undefined;
    const result = await new Promise<LoadResult>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (code) => reject(new Error(`the load process for "${name}" ended with ${code}`)));
      child.on("message", (message) => {
        const said = message as LoadMessage;
        if (said.kind === "measuring") watching = watchCores(watched);
        else if (said.kind === "failed") reject(new Error(`${name}: ${said.message}`));
        else resolve(said.result);
      });
      child.send(job);
    });
    if (watching === undefined) throw new Error(`${name}: a result without measurement`);
    const used = await (await watching)();
    const all = [...used.of.values()].reduce((sum, cores) => sum + cores, 0);
    return {
      name,
      ...result,
      apiserverCores: used.of.get("apiserver") ?? 0,
      etcdCores: used.of.get("etcd") ?? 0,
      bareServerCores: used.of.get(BARE) ?? 0,
      foreignCores: Math.max(0, used.machine - all),
    } satisfies LoadFigures;
  } finally {
    endChild(child);
  }
}

/** Serves one body on a free port of 127.0.0.1 until `use` is done. */
export async function withBareServer<T>(
  job: BareServerJob,
  signal: AbortSignal,
  use: (server: ChildProcess, port: number) => Promise<T>,
): Promise<T> {
  const server = forkModule("bare-server.ts", signal);
  try {
    const port = await new Promise<number>((resolve, reject) => {
      server.once("error", reject);
      server.once("exit", (code) => reject(new Error(`the bare server ended with ${code}`)));
      server.once("message", (message) => resolve(Number(message)));
      server.send(job);
    });
    return await use(server, port);
  } finally {
    endChild(server);
  }
}

function endChild(child: ChildProcess): void {
  child.removeAllListeners("exit");
  child.on("error", () => {}); // the abort that comes after everything was said
  if (child.connected) child.disconnect();
}
