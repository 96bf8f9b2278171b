/**
 * Clients that create, update, delete and read ConfigMaps of few names through a real API server, and note what they were told; a watcher
 * that notes what it was shown. What they note is judged by linearizability/check-history.ts and by etcd's own history.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { ConnectionError } from "@knarr/client/connection-error.ts";
import type { RestConfig } from "@knarr/client/rest-config.ts";
import { type Entry, History, type Operation, type Outcome } from "@knarr/testkit/linearizability/history.ts";

export interface WorkloadOptions {
  readonly config: RestConfig;
  readonly namespace: string;
  readonly clients: number;
  readonly keys: number;
  readonly seed: number;
  readonly stop: AbortSignal;
}

const REQUEST_TIMEOUT_MS = 12_000;

/** Numbers from 0 to below 1, the same for the same seed. Source: mulberry32, public domain */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs until `stop` aborts; every client waits for the answer to its last request before the next. */
export async function runWorkload(options: WorkloadOptions): Promise<readonly Entry[]> {
  const history = new History();
  await Promise.all(Array.from({ length: options.clients }, (_, index) => runClient({ ...options, index, history })));
  return history.entries;
}

async function runClient(
  options: WorkloadOptions & { readonly index: number; readonly history: History },
): Promise<void> {
  const { namespace, index, history, stop } = options;
  const random = randomFrom(options.seed * 1_000 + index);
  const client = new Client(options.config, { requestTimeoutMs: REQUEST_TIMEOUT_MS });
  /** What this client saw last: the base of its guarded writes. */
  const seen = new Map<string, number>();
  try {
    for (let count = 0; !stop.aborted; count++) {
      const name = `key-${Math.floor(random() * options.keys)}`;
      const value = `${index}.${count}`;
      const operation = choose(random(), value, seen.get(name));
      const call = () => perform(client, { namespace, name }, operation);
      const outcome = await history.record({ key: name, client: index, operation }, call, (error) =>
        outcomeOf(error, operation),
      );
      learn(seen, name, outcome);
      // A server that is down is not asked a hundred times a second: every write of unknown outcome doubles what the checker must think of.
      const isTrouble = outcome.kind === "unknown" || outcome.kind === "failed";
      await new Promise((resolve) => setTimeout(resolve, random() * 20 + (isTrouble ? 150 : 0)));
    }
  } finally {
    client.close();
  }
}

function choose(dice: number, value: string, version: number | undefined): Operation {
  if (dice < 0.35) return { kind: "read" };
  if (version === undefined) return dice < 0.85 ? { kind: "create", value } : { kind: "read" };
  return dice < 0.85 ? { kind: "update", value, expected: version } : { kind: "delete", expected: version };
}

function learn(seen: Map<string, number>, name: string, outcome: Outcome): void {
  if (outcome.kind === "value" || outcome.kind === "done") seen.set(name, outcome.version);
  // After a delete "done" carries the version that is gone: the next update is refused, and a create follows.
  else if (outcome.kind === "absent" || outcome.kind === "refused") seen.delete(name);
}

async function perform(
  client: Client,
  key: { readonly namespace: string; readonly name: string },
  operation: Operation,
): Promise<Outcome> {
  const object = (value: string): ConfigMap => {
    return { apiVersion: "v1", kind: "ConfigMap", metadata: { ...key }, data: { value } };
  };
  const versionOf = (made: ConfigMap) => Number(made.metadata?.resourceVersion);
  switch (operation.kind) {
    case "create":
      return { kind: "done", version: versionOf(await client.create(core.configmaps, object(operation.value))) };
    case "update": {
      const changed = object(operation.value);
      const metadata = { ...key, resourceVersion: String(operation.expected) };
      return { kind: "done", version: versionOf(await client.update(core.configmaps, { ...changed, metadata })) };
    }
    case "delete": {
      const resourceVersion = String(operation.expected);
      await client.delete(core.configmaps, key, { preconditions: { resourceVersion } });
      return { kind: "done", version: operation.expected };
    }
    case "read": {
      const found = await client.get(core.configmaps, key);
      return { kind: "value", value: found.data?.value ?? "", version: versionOf(found) };
    }
    default:
      throw new Error(`unknown operation ${operation satisfies never}`);
  }
}

/**
 * What an error says about the operation. 409 and 404 are the key's state. 503 and 429 are the server's word that nothing happened: the
 * checker holds it to that. Everything else leaves it open whether a write happened.
 */
function outcomeOf(error: unknown, operation: Operation): Outcome {
  const isRead = operation.kind === "read";
  if (error instanceof StatusError) {
    if (error.code === 404) return isRead ? { kind: "absent" } : { kind: "refused" };
    if (error.code === 409 && !isRead) return { kind: "refused" };
    if (error.code === 503 || error.code === 429) return { kind: "failed" };
    if (error.code >= 500) return isRead ? { kind: "failed" } : { kind: "unknown" };
    throw error;
  }
  if (error instanceof ConnectionError) {
    // Nobody listened: nothing was sent.
    return isRead || error.code === "ECONNREFUSED" ? { kind: "failed" } : { kind: "unknown" };
  }
  throw error;
}

/** In a story: what was there at this version was listed, and the story goes on with the first event after it. */
export const RELISTED = "RELISTED @";
const revisionOf = (event: string) => Number(event.slice(event.indexOf("@") + 1));

/** The parts of what happened that a story must tell, given where it was told to list again. */
export function toTell(story: readonly string[], happened: readonly string[]): string[] {
  const told: string[] = [];
  let rest = [...happened];
  let count = 0;
  for (const event of story) {
    if (!event.startsWith(RELISTED)) {
      count++;
      continue;
    }
    // What was told before must be the beginning of what happened; the list takes the place of what it holds.
    const before = rest.slice(0, count).filter((one) => revisionOf(one) <= revisionOf(event));
    told.push(...before, event);
    rest = rest.filter((one) => revisionOf(one) > revisionOf(event));
    count = 0;
  }
  return [...told, ...rest];
}

/** "ADDED key-1@17": every event of the namespace, by a client that goes on where it stopped, whatever ends its watches. */
export async function watchStory(options: {
  readonly config: RestConfig;
  readonly namespace: string;
  readonly fromVersion: string;
  readonly story: string[];
  readonly stop: AbortSignal;
}): Promise<void> {
  const { namespace, story, stop } = options;
  const client = new Client(options.config);
  let resourceVersion = options.fromVersion;
  try {
    while (!stop.aborted) {
      try {
        const watch = client.watch(core.configmaps, {
          namespace,
          resourceVersion,
          allowWatchBookmarks: true,
          signal: stop,
        });
        for await (const { type, object } of watch) {
          resourceVersion = object.metadata?.resourceVersion ?? resourceVersion;
          if (type !== "BOOKMARK") story.push(`${type} ${object.metadata?.name}@${resourceVersion}`);
        }
      } catch (error) {
        if (stop.aborted) return;
        if (error instanceof StatusError && error.code === 410) {
          const list = await client.list(core.configmaps, { namespace });
          resourceVersion = list.metadata.resourceVersion ?? "";
          story.push(`${RELISTED}${resourceVersion}`);
        } else if (!(error instanceof ConnectionError || error instanceof StatusError)) throw error;
      }
      // Right after an end the server may be busy starting.
      if (!stop.aborted) await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    client.close();
  }
}
