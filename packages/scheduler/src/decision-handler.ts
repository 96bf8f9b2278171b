/**
 * GET /debug/knarr/decisions?namespace=NS&pod=NAME: the last decision about a pod, and where it waits, as JSON.
 * 404 when none is known. Who may ask is the caller's business (non-resource URL, verb get).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Decision, DecisionLog } from "./core/decisions.ts";
import type { Scheduler } from "./scheduler.ts";

export const DECISIONS_PATH = "/debug/knarr/decisions";

export interface DecisionAnswer {
  readonly kind: "PodDecision";
  readonly apiVersion: "knarr.dev/v1";
  readonly decision: Decision | undefined;
  /** Undefined when the pod waits in no queue: it is bound, or unknown. */
  readonly queue:
    | { readonly queue: string; readonly attempts: number; readonly refusedBy: readonly string[] }
    | undefined;
}

export function answerDecision(
  of: { readonly scheduler: Scheduler | undefined; readonly decisions: DecisionLog },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const query = new URL(request.url ?? "/", "http://localhost").searchParams;
  const namespace = query.get("namespace") ?? "";
  const pod = query.get("pod") ?? "";
  if (request.method !== "GET") return send(response, 405, { message: "only GET" });
  if (namespace === "" || pod === "") return send(response, 400, { message: "namespace and pod must be given" });
  const decision = of.decisions.get(namespace, pod);
  const queue = of.scheduler?.queueStateOf(namespace, pod);
  if (decision === undefined && queue === undefined) {
    return send(response, 404, { message: `no decision about pod ${namespace}/${pod} is known` });
  }
  send(response, 200, { kind: "PodDecision", apiVersion: "knarr.dev/v1", decision, queue } satisfies DecisionAnswer);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff" });
  response.end(`${JSON.stringify(body)}\n`);
}
