/**
 * Fires shots at a running API server and judges the answers: every well-formed request gets an answer in time, an
 * error is a Status whose code is the answer's, and no client's mistake is a 5xx. Meanwhile another client goes on
 * reading; its slowest answers are part of the result.
 */
import type { ClientRequest } from "node:http";
import { type Agent, request } from "node:https";
import { type Shot, shotOf } from "./shots.ts";

export interface Finding {
  readonly seed: number;
  readonly index: number;
  readonly what: string;
  readonly shot: Shot;
}

export interface FuzzResult {
  readonly shots: number;
  /** Shots and codes by surface: { json: { "201": 12, "422": 900 } }. */
  readonly answers: Readonly<Record<string, Record<string, number>>>;
  readonly findings: readonly Finding[];
  /** Of the client that only reads, in milliseconds, sorted. */
  readonly bystanderMs: readonly number[];
  /** The slowest answers, slowest first: where a client can buy much work with little. */
  readonly slowest: readonly { readonly index: number; readonly ms: number }[];
}

export interface FuzzTarget {
  readonly port: number;
  readonly agent: Agent;
}

const ANSWER_TIMEOUT_MS = 20_000;
const MAX_FINDINGS = 40;
const CONCURRENCY = 8;

interface Answer {
  readonly code: number;
  readonly body: string;
}

export async function fuzz(
  target: FuzzTarget,
  options: { readonly seed: number; readonly from?: number; readonly until: (shots: number) => boolean },
): Promise<FuzzResult> {
  const answers: Record<string, Record<string, number>> = {};
  const findings: Finding[] = [];
  const bystanderMs: number[] = [];
  const slowest: { index: number; ms: number }[] = [];
  let next = options.from ?? 0;
  let shots = 0;
  const done = () => options.until(shots) || findings.length >= MAX_FINDINGS;
  const worker = async () => {
    while (!done()) {
      const index = next++;
      const shot = shotOf(options.seed, index);
      shots += 1;
      const started = performance.now();
      const { label, what } = await fire(target, shot);
      slowest.push({ index, ms: performance.now() - started });
      if (slowest.length > 1_000) slowest.sort((a, b) => b.ms - a.ms).length = 10;
      const counts = answers[shot.surface] ?? {};
      answers[shot.surface] = counts;
      counts[label] = (counts[label] ?? 0) + 1;
      if (what !== undefined) findings.push({ seed: options.seed, index, what, shot });
    }
  };
  const bystander = async () => {
    while (!done()) {
      const started = performance.now();
      const answer = await send(target, {
        surface: "",
        method: "GET",
        path: "/api/v1/namespaces/default",
        headers: {},
      });
      if (answer.code !== 200) throw new Error(`the bystander was answered ${answer.code}: ${answer.body}`);
      bystanderMs.push(performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await Promise.all([bystander(), ...Array.from({ length: CONCURRENCY }, worker)]);
  bystanderMs.sort((a, b) => a - b);
  slowest.sort((a, b) => b.ms - a.ms).length = Math.min(slowest.length, 10);
  return { shots, answers, findings, bystanderMs, slowest };
}

async function fire(target: FuzzTarget, shot: Shot): Promise<{ label: string; what: string | undefined }> {
  try {
    const answer = await send(target, shot);
    return { label: String(answer.code), what: complaintOf(shot, answer) };
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    return { label: "none", what: `no answer: ${what}` };
  }
}

/** What upstream answers with 500 and no reason: server-side applies that don't fit, and this. */
const UPSTREAM_500 =
  /^failed to create typed |^failed to convert |resourceVersion should not be set on objects to be created/;

/** In protobuf or YAML, when that was asked for, its text is enough. */
function statusOf(body: string, code: number): { kind?: string; code?: number; reason?: string; message?: string } {
  const encoded = body.startsWith("k8s\0") || body.startsWith("kind: Status\n");
  if (!encoded) return JSON.parse(body) as object;
  const reason = body.includes("InternalError") ? { reason: "InternalError" } : {};
  return { kind: body.includes("Status") ? "Status" : "", code, message: body, ...reason };
}

/** What is wrong with the answer, if anything. */
export function complaintOf(shot: Shot, { code, body }: Answer): string | undefined {
  if (code < 400) return undefined;
  if (!shot.path.startsWith("/api") || shot.method === "HEAD")
    return code >= 500 ? `${code}: ${body.slice(0, 300)}` : undefined;
  // Cut before any handler: the HTTP parser's own refusals have no Status, nor have upstream's.
  if ((code === 400 || code === 431) && !body.startsWith("{")) return undefined;
  // A group that is not served is no API: plain text, as upstream's.
  if (code === 404 && body === "404 page not found\n" && shot.path.startsWith("/apis/")) return undefined;
  let status: { kind?: string; code?: number; reason?: string; message?: string };
  try {
    status = statusOf(body, code);
  } catch {
    return `${code} without a Status: ${body.slice(0, 300)}`;
  }
  if (status.kind !== "Status" || status.code !== code) return `${code} with another Status: ${body.slice(0, 300)}`;
  if (code === 500 && status.reason === undefined && UPSTREAM_500.test(status.message ?? "")) return undefined;
  // As asked for: a version that is yet to come, a time limit of a nanosecond.
  if (code === 504 && (body.includes("ResourceVersionTooLarge") || shot.path.includes("timeout="))) return undefined;
  // A backend that is not there is a proxy's honest 503.
  if (code === 503 && /proxy|exec|attach|log|portforward/.test(shot.path)) return undefined;
  return code >= 500 ? `${code}: ${body.slice(0, 300)}` : undefined;
}

function send(target: FuzzTarget, shot: Shot): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let outgoing: ClientRequest;
    try {
      outgoing = request({
        host: "127.0.0.1",
        port: target.port,
        agent: target.agent,
        method: shot.method,
        path: shot.path,
        headers: { ...shot.headers, ...(shot.body === undefined ? {} : { "content-length": shot.body.length }) },
      });
    } catch (error) {
      // The client library refuses to send it; such bytes are the raw connections' matter.
      if (error instanceof TypeError) return resolve({ code: 0, body: "" });
      throw error;
    }
    const timer = setTimeout(() => outgoing.destroy(new Error("answer timed out")), ANSWER_TIMEOUT_MS);
    const end = (answer: Answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    outgoing.once("response", (response) => {
      const chunks: Buffer[] = [];
      const code = response.statusCode ?? 0;
      // A watch or a followed log goes on for ever: its head is the answer.
      if (code < 300 && /watch|follow|sendInitialEvents/.test(shot.path)) {
        response.on("error", () => {});
        outgoing.destroy();
        return end({ code, body: "" });
      }
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () => end({ code, body: Buffer.concat(chunks).toString() }));
      response.once("error", reject);
    });
    outgoing.once("upgrade", (response, socket) => {
      socket.on("error", () => {});
      socket.destroy();
      end({ code: response.statusCode ?? 0, body: "" });
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      // The server closed an idle connection just when we took it up again: every HTTP client sends anew then. Should the
      // server have ended instead, the new connection tells.
      if (outgoing.reusedSocket && error.code === "ECONNRESET") send(target, shot).then(resolve, reject);
      else reject(error);
    });
    outgoing.end(shot.body);
  });
}
