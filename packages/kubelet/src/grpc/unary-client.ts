/** Calls of one request and one answer on a Unix socket. Loads gRPC: import it only where somebody is there to talk to. */
import {
  credentials,
  type Client as GrpcClient,
  Metadata,
  makeClientConstructor,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { goRpcError } from "./grpc-service.ts";

/** A call that failed; the message is as Go's clients write it. */
export class RpcError extends Error {}

type Unary = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  callback: (error: ServiceError | null, answer: unknown) => void,
) => { cancel(): void };

export class UnaryClient {
  readonly #client: GrpcClient;

  /** `path` of the socket; connects with the first call. */
  constructor(path: string, service: ServiceDefinition) {
    const Service = makeClientConstructor(service, "unary");
    this.#client = new Service(`unix://${path}`, credentials.createInsecure(), {
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 1000,
    });
  }

  /** `method` as in the .proto file. Throws RpcError, also when the signal aborts. */
  call(method: string, request: object, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const unary = (this.#client as unknown as Record<string, Unary>)[method] as Unary;
    const options = { deadline: Date.now() + timeoutMs };
    const call = unary.call(this.#client, request, new Metadata(), options, (error, answer) => {
      signal?.removeEventListener("abort", onAbort);
      if (error === null) resolve(answer);
      else reject(new RpcError(goRpcError(error), { cause: error }));
    });
    const onAbort = () => call.cancel();
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  close(): void {
    this.#client.close();
  }
}
