import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import type { AuditSink } from "./auditor.ts";
import { TruncatingSink } from "./truncating-sink.ts";
import { WebhookSink, type WebhookSinkOptions } from "./webhook-sink.ts";

const log = createLogger({ name: "test", level: "silent" });

class Kept implements AuditSink {
  readonly lines: string[] = [];
  write(line: string): void {
    this.lines.push(line);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

const TRUNCATIONS: readonly { name: string; event: object; want: object | undefined }[] = [
  { name: "passes on what fits", event: { a: 1 }, want: { a: 1 } },
  {
    name: "takes the bodies out of what is too large, and says so",
    event: { a: 1, requestObject: "ü".repeat(60), responseObject: {}, annotations: { x: "y" } },
    want: { a: 1, annotations: { x: "y", "audit.k8s.io/truncated": "true" } },
  },
  { name: "drops what is too large even so", event: { a: "x".repeat(200) }, want: undefined },
];
for (const { name, event, want } of TRUNCATIONS) {
  test(`TruncatingSink.write() ${name}`, () => {
    const kept = new Kept();
    new TruncatingSink(kept, { maxBytes: 100, log }).write(JSON.stringify(event));
    assert.deepEqual(
      kept.lines.map((line) => JSON.parse(line)),
      want === undefined ? [] : [want],
    );
  });
}

function webhook(clock: FakeClock, posts: string[], options: Partial<WebhookSinkOptions> = {}): WebhookSink {
  return new WebhookSink({
    post: async (body) => {
      posts.push(body);
    },
    mode: "batch",
    maxBatch: 2,
    maxBatchBytes: 1_000_000,
    maxWaitMs: 1000,
    bufferSize: 100,
    initialBackoffMs: 10,
    throttle: undefined,
    clock,
    log,
    ...options,
  });
}

const itemsOf = (body: string) => (JSON.parse(body) as { items: unknown[] }).items.length;

test("WebhookSink sends no faster than its throttle lets it", async () => {
  const clock = new FakeClock();
  const posts: string[] = [];
  const sink = webhook(clock, posts, { throttle: { perSecond: 1, burst: 2 } });
  for (let i = 0; i < 8; i++) sink.write("{}");
  await clock.advance(0);
  assert.deepEqual(posts.map(itemsOf), [2, 2]);
  await clock.advance(1000);
  assert.equal(posts.length, 3);
  await clock.advance(1000);
  assert.equal(posts.length, 4);
});

test("WebhookSink makes batches that are no larger than they may be", async () => {
  const clock = new FakeClock();
  const posts: string[] = [];
  const sink = webhook(clock, posts, { maxBatch: 10, maxBatchBytes: 25 });
  for (let i = 0; i < 10; i++) sink.write('{"a":1234}');
  await clock.advance(0);
  assert.deepEqual(posts.map(itemsOf), [2, 2, 2, 2, 2]);
});

test("WebhookSink.close() sends what waits, whatever the throttle says", async () => {
  const clock = new FakeClock();
  const posts: string[] = [];
  const sink = webhook(clock, posts, { throttle: { perSecond: 0.001, burst: 1 } });
  for (let i = 0; i < 6; i++) sink.write("{}");
  await clock.advance(0);
  const closing = sink.close();
  await clock.advance(0);
  await closing;
  assert.deepEqual(posts.map(itemsOf), [2, 2, 2]);
});
