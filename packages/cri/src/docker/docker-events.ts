/** Docker's events of our containers as the runtime interface's. */
import type { EventService } from "../runtime.ts";
import { RuntimeError } from "../runtime-error.ts";
import type { RuntimeEvent } from "../types.ts";
import type { DockerContext } from "./docker-context.ts";
import { asRuntimeError, type DockerEngine } from "./docker-engine.ts";
import type { EngineEvent } from "./engine-types.ts";
import { Label, ownedOf } from "./identity.ts";

const TYPES: Readonly<Record<string, RuntimeEvent["type"]>> = {
  create: "created",
  start: "started",
  die: "stopped",
  // The kernel killed one process of it; the container may or may not die of it.
  oom: "stopped",
  destroy: "deleted",
};

/** undefined for what the kubelet does not follow. Pure. */
export function runtimeEventOf(event: EngineEvent, owner: string): RuntimeEvent | undefined {
  const type = TYPES[event.Action];
  const owned = ownedOf(event.Actor?.Attributes ?? null, owner);
  if (event.Type !== "container" || type === undefined || owned === undefined) return undefined;
  const podUid =
    owned.kind === "sandbox" ? owned.record.metadata.uid : (owned.record.labels["io.kubernetes.pod.uid"] ?? "");
  return { containerId: event.Actor.ID, type, podUid, createdAt: Math.trunc(event.timeNano / 1000) / 1000 };
}

export class DockerEvents implements EventService {
  readonly #engine: DockerEngine;
  readonly #owner: string;

  constructor({ engine, owner }: Pick<DockerContext, "engine" | "owner">) {
    this.#engine = engine;
    this.#owner = owner;
  }

  async *events(signal: AbortSignal): AsyncGenerator<RuntimeEvent> {
    if (signal.aborted) return;
    const filters = { type: ["container"], label: [Label.kind], event: Object.keys(TYPES) };
    const stream = await this.#engine.open(
      (docker, abortSignal) => docker.getEvents({ filters, abortSignal } as Parameters<typeof docker.getEvents>[0]),
      signal,
    );
    const end = () => (stream as NodeJS.ReadableStream & { destroy(): void }).destroy();
    signal.addEventListener("abort", end, { once: true });
    stream.setEncoding("utf8");
    let rest = "";
    try {
      for await (const chunk of stream) {
        const lines = (rest + (chunk as string)).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const event = line.trim() === "" ? undefined : runtimeEventOf(JSON.parse(line) as EngineEvent, this.#owner);
          if (event !== undefined) yield event;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      throw asRuntimeError(error);
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
    if (!signal.aborted) throw new RuntimeError("Unavailable", "the Docker daemon ended its event stream");
  }
}
