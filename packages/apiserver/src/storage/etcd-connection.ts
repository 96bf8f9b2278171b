/**
 * Connections to etcd through the etcd3 package: TLS, deadlines, one error type. Only this file imports etcd3.
 *
 * Of etcd3 we use the connection pool and the generated service clients, and neither its retries (a guarded write that was retried
 * unseen would report its own success as a conflict) nor its circuit breaker (it answers for etcd while etcd is back) nor its watchers
 * (they can die silently: etcd3 issues 31, 72, 78). Each pool has connections of its own: resetting one leaves the others alone.
 */
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { ConnectionPool } from "etcd3/lib/connection-pool.js";
import { RecoverableError } from "etcd3/lib/errors.js";
import { StorageError, type StorageErrorCode } from "./storage-error.ts";

export interface EtcdOptions {
  /** "https://127.0.0.1:2379" ... */
  readonly endpoints: readonly string[];
  readonly tls?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  /** Deadline of a single request. Default 10 s: etcd itself gives up after 7 s. */
  readonly requestTimeoutMs?: number;
}

type PoolOptions = ConstructorParameters<typeof ConnectionPool>[0];
type Policy = NonNullable<NonNullable<PoolOptions["faultHandling"]>["global"]>;

/** Runs the call once. */
const runOnce = {
  execute: (call: (context: { signal: AbortSignal }) => unknown) =>
    Promise.resolve(call({ signal: new AbortController().signal })),
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
} as unknown as Policy;

/** A call in flight, or a stream. */
interface GrpcCall {
  cancel(): void;
}

/** The bidirectional stream of a watch, in etcd's own message shapes. */
export interface EtcdWatchStream extends GrpcCall {
  write(message: unknown): boolean;
  pause(): void;
  resume(): void;
  on(event: "data", listener: (message: EtcdWatchResponse) => void): this;
  on(event: "error", listener: (error: unknown) => void): this;
  on(event: "end", listener: () => void): this;
}

export interface EtcdKeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly mod_revision: string;
  readonly create_revision: string;
  readonly lease: string;
}

export interface EtcdWatchResponse {
  readonly header: { readonly revision: string };
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  readonly fragment: boolean;
  readonly events: readonly {
    readonly type: "Put" | "Delete";
    readonly kv: EtcdKeyValue;
    readonly prev_kv: EtcdKeyValue | null;
  }[];
}

type UnaryMethod = (
  payload: unknown,
  metadata: unknown,
  options: { deadline: number },
  done: (error: unknown, response: unknown) => void,
) => GrpcCall;

export class EtcdConnection {
  readonly #options: EtcdOptions;
  readonly #pool: ConnectionPool;
  #closed = false;

  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#pool = options.endpoints.some(hasAddress)
      ? (new AddressPool(options) as unknown as ConnectionPool)
      : new ConnectionPool(poolOptions(options));
  }

  /** Closes the connections; calls in flight may still end. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pool.close();
  }

  /** One request, tried once. Throws StorageError; an abort cancels the request at etcd too. */
  async call<T>(
    service: "KV" | "Lease" | "Maintenance",
    method: string,
    payload: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    if (signal?.aborted === true)
      throw new StorageError("canceled", "the request was given up", { cause: signal.reason });
    const deadline = Date.now() + (this.#options.requestTimeoutMs ?? 10_000);
    return await this.#pool.withConnection(service, ({ client, metadata }) => {
      return new Promise<T>((resolve, reject) => {
        const send = (client as unknown as Record<string, UnaryMethod>)[method];
        if (send === undefined) throw new Error(`etcd has no method ${service}.${method}`);
        const done = (error: unknown, response: unknown) => {
          signal?.removeEventListener("abort", onAbort);
          if (error === null || error === undefined) resolve(response as T);
          else reject(storageErrorOf(error));
        };
        const call = send.call(client, payload, metadata, { deadline }, done);
        const onAbort = () => call.cancel();
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    });
  }

  /** Opens a watch stream that etcd ends when it has no leader. Errors arrive on the stream. */
  async openWatch(): Promise<EtcdWatchStream> {
    return await this.#pool.withConnection("Watch", ({ client, metadata }) => {
      metadata.set("hasleader", "true");
      return (client as unknown as { watch(metadata: unknown): EtcdWatchStream }).watch(metadata);
    });
  }
}

function hostOf(endpoint: string): string {
  return new URL(endpoint).hostname.replace(/^\[(.*)\]$/, "$1");
}

function hasAddress(endpoint: string): boolean {
  return endpoint.startsWith("https:") && isIP(hostOf(endpoint)) !== 0;
}

/**
 * For endpoints given as addresses: grpc-js offers the address as TLS server name, which Node.js refuses (RFC 6066 has
 * names only). This pool offers another name and checks the certificate against the addresses themselves.
 */
class AddressPool extends (ConnectionPool as unknown as new (
  options: PoolOptions,
) => { readonly options: PoolOptions }) {
  constructor(options: EtcdOptions) {
    const base = poolOptions(options);
    const grpcOptions = { ...base.grpcOptions, "grpc.ssl_target_name_override": "etcd.local" };
    super({ ...base, grpcOptions });
  }

  /** etcd3 calls this from its constructor; its typings call it private, hence the cast above. */
  buildAuthentication(): unknown {
    const pool = ConnectionPool.prototype as unknown as { buildAuthentication(): unknown };
    pool.buildAuthentication.call(this);
    const tls = this.options.credentials;
    const hosts = [this.options.hosts].flat().map(hostOf);
    return credentials.createSsl(tls?.rootCertificate ?? null, tls?.privateKey ?? null, tls?.certChain ?? null, {
      checkServerIdentity: (_name, certificate) => {
        const complaints = hosts.map((host) => checkServerIdentity(host, certificate as never));
        return complaints.includes(undefined) ? undefined : complaints[0];
      },
    });
  }
}

function poolOptions(options: EtcdOptions): PoolOptions {
  const { tls } = options;
  return {
    hosts: [...options.endpoints],
    ...(tls === undefined
      ? {}
      : {
          credentials: {
            rootCertificate: tls.ca,
            ...(tls.key === undefined ? {} : { privateKey: tls.key }),
            ...(tls.cert === undefined ? {} : { certChain: tls.cert }),
          },
        }),
    grpcOptions: {
      // The default of 4 MB cuts off long lists and watch batches.
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // Not more often than every 5 s, or etcd hangs up (its --grpc-keepalive-min-time).
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      // A pool that is reset really dials again, instead of finding a half-dead connection in the process-wide pool.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
    },
    faultHandling: { global: runOnce, host: () => runOnce },
  };
}

/** gRPC status codes. Source: grpc.github.io/grpc/core/md_doc_statuscodes.html */
const CODES: Readonly<Record<number, StorageErrorCode>> = {
  1: "canceled",
  4: "timeout",
  14: "unavailable",
};

/** etcd tells some causes apart only by text. Source: etcd api/v3rpc/rpctypes/error.go */
const TEXTS: readonly (readonly [string, StorageErrorCode])[] = [
  ["required revision has been compacted", "compacted"],
  ["required revision is a future revision", "future-revision"],
  ["database space exceeded", "no-space"],
  ["too many requests", "too-many-requests"],
  ["request is too large", "too-large"],
  ["requested lease not found", "lease-not-found"],
  ["request timed out", "timeout"],
];

/** Makes a StorageError of what gRPC or etcd3 threw. Links that failed are marked so that the pool dials afresh. */
export function storageErrorOf(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const grpcCode = (error as { code?: unknown }).code;
  const byText = TEXTS.find(([text]) => message.includes(text))?.[1];
  const code = byText ?? (typeof grpcCode === "number" ? CODES[grpcCode] : undefined) ?? "internal";
  const made = new StorageError(code, message, { cause: error });
  if (code === "unavailable" || code === "timeout") Object.defineProperty(made, RecoverableError, { value: true });
  return made;
}
