/**
 * One gRPC connection to a runtime's socket: calls with a deadline, cancelled by their signal, failing with RuntimeError.
 * grpc-js reconnects by itself; a call made while the socket is away fails at once with Unavailable.
 */
import { fileURLToPath } from "node:url";
import {
  type CallOptions,
  type ClientUnaryCall,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync, type PackageDefinition, type ServiceDefinition } from "@grpc/proto-loader";
import { CODE_NAMES } from "./grpc-codes.ts";
import { rememberingDecoder } from "./list-decoder.ts";
import { RuntimeError } from "./runtime-error.ts";
import { containerOf, sandboxOf } from "./wire.ts";

/** Upstream's kubelet accepts answers of this size. Source: k8s.io/cri-client maxMsgSize */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

export type ServiceName = "RuntimeService" | "ImageService";

type UnaryMethod = (
  request: object,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: ServiceError | null, response: unknown) => void,
) => ClientUnaryCall;

interface MessageStream extends AsyncIterable<unknown> {
  cancel(): void;
}
type StreamMethod = (request: object, metadata: Metadata) => MessageStream;

interface StubClient {
  close(): void;
  readonly [method: string]: unknown;
}

interface ListMethod {
  readonly method: string;
  /** The list's field in the answer. */
  readonly field: string;
  readonly mapFields: ReadonlySet<number>;
  readonly item: (wire: never) => object;
}

/** What is asked for every second: answered in terms of types.ts. The numbers are those of labels and annotations. */
const LISTS: readonly ListMethod[] = [
  { method: "ListPodSandbox", field: "items", mapFields: new Set([5, 6]), item: sandboxOf },
  { method: "ListContainers", field: "containers", mapFields: new Set([8, 9]), item: containerOf },
];

function decodeOnce(definition: PackageDefinition, { method, field, mapFields, item }: ListMethod): void {
  const service = definition["runtime.v1.RuntimeService"] as ServiceDefinition | undefined;
  const call = service?.[method];
  if (call === undefined) throw new Error(`the runtime's protocol has no ${method}`);
  const whole = call.responseDeserialize;
  const decode = (bytes: Buffer) => ((whole(bytes) as Record<string, never[]>)[field] ?? []).map(item);
  const items = rememberingDecoder(decode, { mapFields });
  call.responseDeserialize = (bytes) => ({ [field]: items(bytes) });
}

let loaded: Readonly<Record<ServiceName, ServiceClientConstructor>> | undefined;

function services(): Readonly<Record<ServiceName, ServiceClientConstructor>> {
  if (loaded === undefined) {
    const path = fileURLToPath(new URL("./generated/runtime-v1.proto", import.meta.url));
    // 64-bit integers arrive as decimal strings: nanosecond times do not fit a number.
    const definition = loadSync(path, { longs: String, enums: String, defaults: true, oneofs: false });
    for (const list of LISTS) decodeOnce(definition, list);
    const v1 = (loadPackageDefinition(definition).runtime as GrpcObject).v1 as GrpcObject;
    loaded = {
      RuntimeService: v1.RuntimeService as ServiceClientConstructor,
      ImageService: v1.ImageService as ServiceClientConstructor,
    };
  }
  return loaded;
}

function asRuntimeError(error: unknown): RuntimeError {
  const { code, details } = error as Partial<ServiceError>;
  const name = code === undefined ? undefined : CODE_NAMES[code];
  if (name === undefined) return new RuntimeError("Unknown", String(error), { cause: error });
  return new RuntimeError(name, details ?? "", { cause: error });
}

export class GrpcChannel {
  readonly #clients: Readonly<Record<ServiceName, StubClient>>;

  /** `endpoint` is "unix:///path". Connects lazily. */
  constructor(endpoint: string) {
    const make = (name: ServiceName) =>
      new (services()[name])(endpoint, credentials.createInsecure(), {
        "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
        "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 3000,
        // Nobody reads its records of every call.
        "grpc.enable_channelz": 0,
      }) as unknown as StubClient;
    this.#clients = { RuntimeService: make("RuntimeService"), ImageService: make("ImageService") };
  }

  /** One call; `method` in lower camel case. The abort of `signal` cancels it in the runtime too. */
  unary<Response>(
    service: ServiceName,
    method: string,
    request: object,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const { signal } = options;
    if (signal?.aborted === true) {
      reject(signal.reason);
      return promise;
    }
    const client = this.#clients[service];
    const call = (client[method] as UnaryMethod).call(
      client,
      request,
      new Metadata(),
      { deadline: Date.now() + options.timeoutMs },
      (error, response) => {
        signal?.removeEventListener("abort", onAbort);
        if (error === null) resolve(response as Response);
        else reject(signal?.aborted === true ? signal.reason : asRuntimeError(error));
      },
    );
    const onAbort = () => call.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  /** A server stream, without deadline; ends quietly when the signal aborts. */
  async *stream<Response>(
    service: ServiceName,
    method: string,
    request: object,
    signal: AbortSignal,
  ): AsyncGenerator<Response> {
    if (signal.aborted) return;
    const client = this.#clients[service];
    const call = (client[method] as StreamMethod).call(client, request, new Metadata());
    const onAbort = () => call.cancel();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const message of call) yield message as Response;
    } catch (error) {
      if (!signal.aborted) throw asRuntimeError(error);
    } finally {
      signal.removeEventListener("abort", onAbort);
      call.cancel();
    }
  }

  close(): void {
    for (const client of Object.values(this.#clients)) client.close();
  }
}
