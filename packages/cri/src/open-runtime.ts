/** Picks the implementation of the runtime interface by the endpoint's scheme; new schemes are added to this one switch. */
import type { DockerRuntimeOptions } from "./docker/docker-runtime.ts";
import { GrpcRuntime } from "./grpc-runtime.ts";
import type { Runtime } from "./runtime.ts";

/** What both take, and what Docker needs besides, as it has no CRI plugin that would know. */
export type OpenRuntimeOptions = DockerRuntimeOptions;

/** Opens the runtime behind `--container-runtime-endpoint`; nothing is connected yet. Throws on an unknown scheme. */
export async function openRuntime(endpoint: string, options: OpenRuntimeOptions = {}): Promise<Runtime> {
  const scheme = endpoint.startsWith("/") ? "unix" : (endpoint.split(":", 1)[0] ?? "");
  switch (scheme) {
    case "unix":
      return new GrpcRuntime(endpoint.startsWith("/") ? `unix://${endpoint}` : endpoint, options);
    case "docker": {
      const socket = /^docker:\/\/(\/.+)$/.exec(endpoint)?.[1];
      if (socket === undefined) break;
      // Loaded only where it is used: its libraries cost memory and start-up time.
      const { DockerRuntime } = await import("./docker/docker-runtime.ts");
      return new DockerRuntime(socket, options);
    }
  }
  throw new Error(
    `container runtime endpoint ${JSON.stringify(endpoint)} must be unix:///path/to/socket or docker:///path/to/socket`,
  );
}
