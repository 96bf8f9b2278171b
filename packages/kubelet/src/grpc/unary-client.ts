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
import { RpcError } from "./rpc-error.ts";

/** What is tried again of a socket that is not there: plugins are restarted. */
export const RECONNECT = { "grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 1000 };

type Unary = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  callback: (error: ServiceError | null, answer: unknown) => void,
) => { cancel(): void };

/** `method` as the client's class names it. Throws RpcError, also when the signal aborts. */
export function callUnary(
  client: GrpcClient,
  method: string,
  request: object,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const unary = (client as unknown as Record<string, Unary>)[method] as Unary;
  const options = { deadline: Date.now() + timeoutMs };
  const call = unary.call(client, request, new Metadata(), options, (error, answer) => {
    signal?.removeEventListener("abort", onAbort);
    if (error === null) resolve(answer);
    else reject(new RpcError(goRpcError(error), { cause: error }));
  });
  const onAbort = () => call.cancel();
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  return promise;
}

export class UnaryClient {
  readonly #client: GrpcClient;

  /** `path` of the socket; connects with the first call. */
  constructor(path: string, service: ServiceDefinition) {
    const Service = makeClientConstructor(service, "unary");
    this.#client = new Service(`unix://${path}`, credentials.createInsecure(), RECONNECT);
  }

  /** `method` as in the .proto file. Throws RpcError, also when the signal aborts. */
  call(method: string, request: object, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    return callUnary(this.#client, method, request, { timeoutMs, signal });
  }

  close(): void {
    this.#client.close();
  }
}
