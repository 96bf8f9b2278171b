/**
 * The connection to a Docker Engine: dockerode behind one call function, which gives every request a deadline and an abort,
 * and turns every failure into a RuntimeError. Holds no state; each request is a connection of its own to the socket.
 */

import Docker from "dockerode";
import { Agent } from "../node-http.ts";
import type { CallOptions } from "../runtime.ts";
import { RuntimeError, type RuntimeErrorCode } from "../runtime-error.ts";

/** What dockerode's and Node's errors carry. */
interface EngineFailure {
  readonly statusCode?: number;
  readonly code?: string;
  readonly json?: { readonly message?: string } | Buffer | null;
  readonly message?: string;
}

const STATUS_CODES: Readonly<Record<number, RuntimeErrorCode>> = {
  400: "InvalidArgument",
  401: "Unauthenticated",
  403: "PermissionDenied",
  404: "NotFound",
  409: "FailedPrecondition",
  501: "Unimplemented",
  503: "Unavailable",
};

const CONNECTION_ERRORS = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "EAGAIN"]);

/** Docker's own words where it answered, Node's where it did not. */
export function asRuntimeError(error: unknown): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const { statusCode, code, json, message = String(error) } = error as EngineFailure;
  if (statusCode !== undefined) {
    const own = json !== null && json !== undefined && !Buffer.isBuffer(json) ? json.message : undefined;
    const detail = own ?? message.replace(/^\(HTTP code \d+\) .*? - /, "").trim();
    return new RuntimeError(STATUS_CODES[statusCode] ?? "Unknown", detail, { cause: error });
  }
  if (code !== undefined && CONNECTION_ERRORS.has(code)) {
    const detail = `cannot connect to the Docker daemon: ${message}`;
    return new RuntimeError("Unavailable", detail, { cause: error });
  }
  return new RuntimeError("Unknown", message, { cause: error });
}

export type EngineRequest<T> = (docker: Docker, abortSignal: AbortSignal) => Promise<T>;

export class DockerEngine {
  readonly #docker: Docker;
  readonly #agent = new Agent({ keepAlive: false });
  readonly #requestTimeoutMs: number;

  constructor(socketPath: string, requestTimeoutMs: number) {
    this.#docker = new Docker({ socketPath, agent: this.#agent } as Docker.DockerOptions);
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  get requestTimeoutMs(): number {
    return this.#requestTimeoutMs;
  }

  /** Throws the abort's reason when the caller's signal ends it, DeadlineExceeded when its time is over. */
  async call<T>(request: EngineRequest<T>, options: CallOptions = {}, timeoutMs = this.#requestTimeoutMs): Promise<T> {
    const { signal } = options;
    signal?.throwIfAborted();
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), timeoutMs);
    const joined = signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal]);
    try {
      // Not every call of dockerode's hands the signal on.
      return await untilAborted(request(this.#docker, joined), joined);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (deadline.signal.aborted) {
        throw new RuntimeError("DeadlineExceeded", "context deadline exceeded", { cause: error });
      }
      throw asRuntimeError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A plain question, for those that dockerode asks without a signal. */
  async get<T>(path: string, options: CallOptions = {}, timeoutMs = this.#requestTimeoutMs): Promise<T> {
    const ask = (docker: Docker, abortSignal: AbortSignal) =>
      new Promise<T>((resolve, reject) => {
        const statusCodes = { 200: true, 400: "bad parameter", 404: "not found", 500: "server error" };
        docker.modem.dial({ path, method: "GET", abortSignal, statusCodes }, (error, data) => {
          if (error === null || error === undefined) resolve(data as T);
          else reject(error);
        });
      });
    return await this.call(ask, options, timeoutMs);
  }

  /** A stream that lives as long as its caller wants: no deadline, `signal` ends it. */
  async open<T>(request: EngineRequest<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      return await request(this.#docker, signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw asRuntimeError(error);
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  return promise;
}
