/** What `knarr` and the supervisor say to each other over its Unix socket: one JSON line each way per connection. */
import { createConnection } from "node:net";
import type { ComponentSpec } from "../components.ts";
import type { ProcessState } from "./component-process.ts";

export type SupervisorRequest =
  | { readonly op: "status" }
  /** Starts those that don't run, replaces those whose command differs. In order, without waiting for health. */
  | { readonly op: "start"; readonly components: readonly ComponentSpec[] }
  /** Stops in order; all, last started first, when names are absent. */
  | { readonly op: "stop"; readonly names?: readonly string[] }
  /** Stops and forgets; a name that is not known is no error. */
  | { readonly op: "remove"; readonly names: readonly string[] }
  /** Stops everything and ends the supervisor. */
  | { readonly op: "shutdown" };

export interface ComponentState {
  readonly name: string;
  readonly state: ProcessState;
  readonly pid: number | undefined;
  readonly startedMs: number;
  readonly restarts: number;
  readonly lastExit: string;
}
export type SupervisorResponse =
  | { readonly ok: true; readonly pid: number; readonly components: readonly ComponentState[] }
  | { readonly ok: false; readonly error: string };

export class SupervisorGoneError extends Error {
  constructor(cause: unknown) {
    super("the supervisor does not answer", { cause });
    this.name = "SupervisorGoneError";
  }
}

/** Throws SupervisorGoneError when nobody listens, Error with the supervisor's complaint otherwise. */
export function askSupervisor(
  socketPath: string,
  request: SupervisorRequest,
  timeoutMs = 10_000,
): Promise<Extract<SupervisorResponse, { ok: true }>> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath);
    let text = "";
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    socket.setEncoding("utf8");
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", (error) => reject(new SupervisorGoneError(error)));
    socket.on("end", () => {
      try {
        const response = JSON.parse(text) as SupervisorResponse;
        if (response.ok) resolve(response);
        else reject(new Error(response.error));
      } catch (error) {
        reject(new SupervisorGoneError(error));
      }
    });
  });
}
