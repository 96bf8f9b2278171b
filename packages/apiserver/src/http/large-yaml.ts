/**
 * Large YAML bodies are read by a thread of their own: YAML costs about ten microseconds a token, so 3 MB of it would keep every
 * other request waiting for many seconds. Small ones, and JSON, are read where they are needed.
 *
 * `prepareYaml` is awaited when the body has been read; the decoder then finds the outcome by the body's Buffer.
 */
import { Worker } from "node:worker_threads";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { YamlError, type YamlResult } from "@knarr/apimachinery/yaml.ts";

const SMALL_BYTES = 16 * 1024;
/** One text may keep the thread this long; then it is the text's turn to go. */
const LIMIT_MS = 20_000;
/** Texts waiting for the thread beyond which more are refused. */
const MAX_WAITING = 32;

type Outcome = YamlResult | YamlError;
type Answer = { readonly id: number; readonly complaint?: string } & Partial<YamlResult>;

const outcomes = new WeakMap<Buffer, Outcome>();
const waiting = new Map<number, (answer: Answer | undefined) => void>();
let worker: Worker | undefined;
let queue: Promise<unknown> = Promise.resolve();
let nextId = 0;

/** What the thread found in this body; undefined when it was not asked. Throws YamlError. */
export function preparedYaml(body: Buffer): YamlResult | undefined {
  const outcome = outcomes.get(body);
  if (outcome instanceof YamlError) throw outcome;
  return outcome;
}

/** Reads the body in the thread when it is large YAML; else does nothing. Throws 429 when too many wait. */
export async function prepareYaml(body: Buffer, contentType: string): Promise<void> {
  if (body.length < SMALL_BYTES || !/yaml/i.test(contentType)) return;
  const text = body.toString();
  // JSON in YAML's clothes is read as JSON.
  if (/^\s*\{/.test(text)) return;
  if (waiting.size >= MAX_WAITING) throw statusErrors.tooManyRequests("too many large YAML bodies, try again later", 1);
  const answer = await ask(text);
  if (answer === undefined) outcomes.set(body, new YamlError("error converting YAML to JSON: yaml: too complex"));
  else if (answer.complaint !== undefined) outcomes.set(body, new YamlError(answer.complaint));
  else outcomes.set(body, { value: answer.value, duplicates: answer.duplicates ?? [] });
}

/** One text at a time, so that the limit is each text's own. undefined when the thread gave up. */
function ask(text: string): Promise<Answer | undefined> {
  const id = nextId++;
  const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
  waiting.set(id, resolve);
  queue = queue.then(() => {
    const thread = current();
    const timer = setTimeout(() => void thread.terminate(), LIMIT_MS);
    thread.postMessage({ id, text });
    return promise.finally(() => clearTimeout(timer));
  });
  return promise.finally(() => waiting.delete(id));
}

function current(): Worker {
  if (worker !== undefined) return worker;
  const made = new Worker(new URL("./yaml-worker.ts", import.meta.url));
  made.unref();
  made.on("message", (answer: Answer) => waiting.get(answer.id)?.(answer));
  const gone = () => {
    if (worker !== made) return;
    worker = undefined;
    // The oldest is the one that was being read; the others get a new thread.
    const [oldest] = waiting.values();
    oldest?.(undefined);
  };
  made.on("error", gone);
  made.on("exit", gone);
  worker = made;
  return made;
}
