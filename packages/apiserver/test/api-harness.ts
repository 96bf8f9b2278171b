/** One etcd and one API server for a test file, and a plain HTTP client that hides nothing. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { after, before } from "node:test";
import type { RestConfig } from "@knarr/client/rest-config.ts";
import { type ApiserverOptions, startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; undefined when it is not JSON. */
  readonly body: Json;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly as?: RestConfig;
  /** Sends no client certificate. */
  readonly anonymous?: boolean;
}

export class Harness {
  etcd!: TestEtcd;
  api!: TestApiserver;
  readonly #agent = new Agent({ keepAlive: true });

  async start(options: Omit<ApiserverOptions, "etcd">): Promise<void> {
    this.etcd = await startEtcd();
    this.api = await startApiserver({ etcd: this.etcd, ...options });
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    await this.api?.stop();
    await this.etcd?.stop();
  }

  /** The whole answer; never throws for a status. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const response = await this.open(method, path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    let body: Json;
    try {
      body = JSON.parse(text);
    } catch {
      // Not JSON: the test looks at the text.
      body = undefined;
    }
    return { status: response.statusCode ?? 0, headers: response.headers, text, body };
  }

  /** The answer as a stream. */
  open(method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const who = options.as ?? this.api.admin;
    const payload: string | Buffer | undefined =
      options.body === undefined || typeof options.body === "string" || Buffer.isBuffer(options.body)
        ? options.body
        : JSON.stringify(options.body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: "127.0.0.1",
          port: this.api.port,
          path,
          method,
          agent: options.anonymous === true ? false : this.#agent,
          ...(who.ca === undefined ? {} : { ca: who.ca }),
          ...(options.anonymous === true || who.cert === undefined ? {} : { cert: who.cert }),
          ...(options.anonymous === true || who.key === undefined ? {} : { key: who.key }),
          headers: {
            "user-agent": "test/1",
            // Node frames the body of a DELETE only if told its length.
            ...(payload === undefined
              ? {}
              : { "content-type": "application/json", "content-length": String(Buffer.byteLength(payload)) }),
            ...options.headers,
          },
        },
        resolve,
      );
      outgoing.once("error", reject);
      outgoing.end(payload);
    });
  }

  /** POST that must succeed; the object. */
  async create(path: string, body: unknown): Promise<Json> {
    const answer = await this.call("POST", path, { body });
    if (answer.status !== 201) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  }
}

/** Starts before and stops after the tests of the file; `prepare` runs once it is up. */
export function useApiserver(
  options: Omit<ApiserverOptions, "etcd"> & { readonly prepare?: (harness: Harness) => Promise<unknown> } = {},
): Harness {
  const harness = new Harness();
  const { prepare, ...rest } = options;
  before(async () => {
    await harness.start(rest);
    await prepare?.(harness);
  });
  after(() => harness.stop());
  return harness;
}

export const configMap = (name: string, data: Record<string, string> = {}, extra: Json = {}): Json => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...extra },
  data,
});

export const pod = (name: string, spec: Json = {}, metadata: Json = {}): Json => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, ...metadata },
  spec: { automountServiceAccountToken: false, containers: [{ name: "c", image: "busybox" }], ...spec },
});

/** Reads watch events off a stream. */
export class EventReader {
  readonly #events: Json[] = [];
  readonly #waiting: (() => void)[] = [];
  #rest = "";
  ended = false;

  constructor(stream: IncomingMessage) {
    stream.on("data", (chunk: Buffer) => {
      this.#rest += chunk.toString();
      const lines = this.#rest.split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") this.#events.push(JSON.parse(line));
      this.#wake();
    });
    const end = () => {
      this.ended = true;
      this.#wake();
    };
    stream.on("end", end);
    stream.on("close", end);
    stream.on("error", end);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The next event; undefined at the end of the stream. */
  async next(): Promise<Json> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined || this.ended) return event;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Events up to the end of the stream. */
  async rest(): Promise<Json[]> {
    const events: Json[] = [];
    for (;;) {
      const event = await this.next();
      if (event === undefined) return events;
      events.push(event);
    }
  }
}
