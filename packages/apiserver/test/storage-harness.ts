/** What the storage tests share: a real etcd, a storage over it, objects, and a reader of watches. */
import assert from "node:assert/strict";
import { core } from "@knarr/api/generated/resources.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import { EtcdStore } from "../src/storage/etcd-store.ts";
import { Storage } from "../src/storage/storage.ts";
import type { Matcher, ObjectEvent, ObjectWatch, ResourceStorage } from "../src/storage/types.ts";

export interface TestObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec?: Record<string, unknown>;
}

export interface Bench {
  readonly etcd: TestEtcd;
  readonly kv: EtcdStore;
  readonly storage: Storage;
  readonly root: string;
  stop(): Promise<void>;
}

/** A storage over `endpoint` (default: an etcd of its own). Its root is fresh, so that tests can share one etcd. */
export async function startBench(
  options: { readonly etcd?: TestEtcd; readonly endpoint?: string; readonly requestTimeoutMs?: number } = {},
): Promise<Bench> {
  const etcd = options.etcd ?? (await startEtcd());
  const kv = new EtcdStore(
    { endpoints: [options.endpoint ?? etcd.endpoint], requestTimeoutMs: options.requestTimeoutMs ?? 30_000 },
    { clock: systemClock, log: silentLogger() },
  );
  const root = `/registry-${Math.random().toString(36).slice(2)}`;
  const storage = new Storage({ kv, clock: systemClock, log: silentLogger(), root, compactionIntervalMs: 0 });
  const stopping = new AbortController();
  const running = storage.run(stopping.signal);
  return {
    etcd,
    kv,
    storage,
    root,
    stop: async () => {
      stopping.abort();
      await running;
      kv.close();
      if (options.etcd === undefined) await etcd.stop();
    },
  };
}

/** Pods with the field selector that kubelets use. */
export function podStorage(bench: Bench, cached: boolean): ResourceStorage {
  return bench.storage.resource({
    ref: core.pods,
    cached,
    fieldsOf: (object) => ({ "spec.nodeName": String((object as TestObject).spec?.nodeName ?? "") }),
  });
}

export async function untilReady(bench: Bench): Promise<void> {
  await until("the caches are loaded", () => bench.storage.isReady);
}

export function podBytes(
  key: ObjectKey,
  extra: { labels?: Record<string, string>; spec?: Record<string, unknown> } = {},
): Buffer {
  return Buffer.from(
    JSON.stringify({
      kind: "Pod",
      apiVersion: "v1",
      metadata: {
        name: key.name,
        namespace: key.namespace,
        ...(extra.labels === undefined ? {} : { labels: extra.labels }),
      },
      spec: extra.spec ?? {},
    }),
  );
}

export const pod = (name: string, namespace = "default"): ObjectKey => ({ namespace, name });

export function parsed(object: { readonly bytes: Buffer }): TestObject {
  return JSON.parse(object.bytes.toString()) as TestObject;
}

/** A selector that wants these values. */
export function equals(wanted: Record<string, string>): Matcher {
  return { matches: (values) => Object.entries(wanted).every(([key, value]) => values[key] === value) };
}

/** Collects a watch's events in the background. */
export class WatchReader {
  readonly events: ObjectEvent[] = [];
  /** "ADDED a@5": what tests compare. Bookmarks are left out. */
  readonly story: string[] = [];
  readonly #watch: ObjectWatch;
  readonly ended: Promise<void>;

  constructor(watch: ObjectWatch) {
    this.#watch = watch;
    this.ended = (async () => {
      for await (const step of watch) {
        for (const event of step) {
          this.events.push(event);
          if (event.type !== "BOOKMARK")
            this.story.push(`${event.type} ${event.object.key.name}@${event.object.revision}`);
        }
      }
    })();
  }

  async waitFor(count: number): Promise<void> {
    await until(`${count} events`, () => this.story.length >= count);
  }

  async close(): Promise<void> {
    this.#watch.close();
    await this.ended;
  }
}

export async function until(what: string, holds: () => boolean, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!holds()) {
    if (Date.now() > deadline) assert.fail(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
