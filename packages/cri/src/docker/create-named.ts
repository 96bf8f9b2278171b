/** Creates a container under a name that somebody may hold already. */
import { randomBytes } from "node:crypto";
import type { ContainerCreateOptions } from "dockerode";
import type { CallOptions } from "../runtime.ts";
import { RuntimeError } from "../runtime-error.ts";
import type { DockerEngine } from "./docker-engine.ts";

/** Names are for people, ids are what counts: a name that is taken gets a tail. Returns the id. */
export async function createNamed(
  engine: DockerEngine,
  name: string,
  request: ContainerCreateOptions,
  options?: CallOptions,
): Promise<string> {
  const create = (as: string) =>
    engine.call(async (docker, abortSignal) => {
      const container = await docker.createContainer({ name: as, ...request, abortSignal } as ContainerCreateOptions);
      return container.id;
    }, options);
  try {
    return await create(name);
  } catch (error) {
    const taken = error instanceof RuntimeError && error.code === "FailedPrecondition" && /in use/.test(error.detail);
    if (!taken) throw error;
    return await create(`${name}_${randomBytes(4).toString("hex")}`);
  }
}
