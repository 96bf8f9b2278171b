/**
 * POST /checkpoint/NS/POD/CONTAINER[?timeout=S]: the container's state as an archive below <root-dir>/checkpoints, by the
 * runtime where it can.
 * Source: KEP-2008; k8s.io/kubernetes/pkg/kubelet/server/server.go checkpoint, kubelet.go CheckpointContainer
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { observe } from "../pods/observe.ts";
import { HttpError } from "./http-error.ts";
import type { Serving } from "./serving.ts";

/** Where the archive is. Throws 404 for what is not there, 500 when the runtime can't. */
export async function checkpoint(
  { pods, context, config }: Serving,
  [namespace = "", name = "", container = ""]: readonly string[],
  query: URLSearchParams,
): Promise<{ readonly items: readonly string[] }> {
  const worker = pods.find(namespace, name);
  if (worker === undefined) throw new HttpError(404, "pod does not exist");
  const { containers = [], initContainers = [], ephemeralContainers = [] } = worker.pod.spec ?? {};
  if (![...containers, ...initContainers, ...ephemeralContainers].some((one) => one.name === container)) {
    throw new HttpError(404, `container ${container} does not exist`);
  }
  const timeout = query.getAll("timeout").at(-1);
  if (timeout !== undefined && !/^-?\d{1,18}$/.test(timeout)) {
    throw new HttpError(404, "cannot parse value of timeout parameter");
  }
  const { runtime, clock } = context;
  try {
    const running = (await observe(runtime, worker.uid)).containers.find(
      (one) => one.name === container && one.state === "running",
    );
    if (running === undefined) throw new Error(`container ${container} not found in pod ${name}_${namespace}`);
    const folder = join(config.rootDir, "checkpoints");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const time = `${new Date(clock.now()).toISOString().slice(0, 19)}Z`;
    const location = join(folder, `checkpoint-${name}_${namespace}-${container}-${time}.tar`);
    if (runtime.checkpointContainer === undefined) throw new Error("the runtime does not make checkpoints");
    await runtime.checkpointContainer(running.id, location, Number(timeout ?? 0));
    return { items: [location] };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new HttpError(500, `checkpointing of ${namespace}/${name}/${container} failed (${why})`);
  }
}
