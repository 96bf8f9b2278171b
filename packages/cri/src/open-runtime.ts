/** Picks the implementation of the runtime interface by the endpoint's scheme; new schemes are added to this one switch. */
import { GrpcRuntime, type GrpcRuntimeOptions } from "./grpc-runtime.ts";
import type { Runtime } from "./runtime.ts";

/** Opens the runtime behind `--container-runtime-endpoint`; nothing is connected yet. Throws on an unknown scheme. */
export function openRuntime(endpoint: string, options?: GrpcRuntimeOptions): Runtime {
  const scheme = endpoint.startsWith("/") ? "unix" : (endpoint.split(":", 1)[0] ?? "");
  switch (scheme) {
    case "unix":
      return new GrpcRuntime(endpoint.startsWith("/") ? `unix://${endpoint}` : endpoint, options);
    default:
      throw new Error(`container runtime endpoint ${JSON.stringify(endpoint)} must be unix:///path/to/socket`);
  }
}
