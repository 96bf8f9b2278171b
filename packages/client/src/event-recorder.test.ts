import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { silentLogger } from "@knarr/daemon/logger.ts";
import { FakeClock } from "@knarr/testkit/fake-clock.ts";
import type { Client } from "./client.ts";
import { ConnectionError } from "./connection-error.ts";
import { EventRecorder } from "./event-recorder.ts";

/** Keeps Events as a server would. */
class EventServer {
  readonly events = new Map<string, Event>();
  failure: Error | undefined;

  readonly client = {
    create: async (_ref: unknown, event: Event) => {
      if (this.failure !== undefined) throw this.failure;
      this.events.set(event.metadata.name ?? "", event);
      return event;
    },
    patch: async (_ref: unknown, key: { name: string }, { body }: { body: Partial<Event> }) => {
      if (this.failure !== undefined) throw this.failure;
      const event = this.events.get(key.name);
      if (event === undefined) throw statusErrors.notFound({ group: "", resource: "events" }, key.name);
      Object.assign(event, body);
      return event;
    },
  } as unknown as Client;

  get summary(): string[] {
    return [...this.events.values()].map(({ reason, message, count }) => `${reason} ${message} x${count}`);
  }
}

function make(): { server: EventServer; clock: FakeClock; recorder: EventRecorder } {
  const server = new EventServer();
  const clock = new FakeClock();
  const recorder = new EventRecorder({
    client: server.client,
    component: "test",
    host: "h",
    clock,
    log: silentLogger(),
  });
  return { server, clock, recorder };
}
const pod = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "ns", uid: name, resourceVersion: "3" },
});

test("EventRecorder.event() writes an Event about the object", async () => {
  const { server, recorder } = make();
  recorder.event(pod("p"), "Warning", "Failed", "it broke");
  await recorder.flush();
  const [event] = server.events.values();
  assert.deepEqual(event?.involvedObject, {
    apiVersion: "v1",
    kind: "Pod",
    name: "p",
    namespace: "ns",
    uid: "p",
    resourceVersion: "3",
  });
  assert.deepEqual([event?.type, event?.count, event?.source], ["Warning", 1, { component: "test", host: "h" }]);
  assert.equal(event?.firstTimestamp, "2026-01-01T00:00:00Z");
  assert.match(event?.metadata.name ?? "", /^p\.[0-9a-f]+$/);
});

test("EventRecorder.event() counts repetitions in one Event", async () => {
  const { server, recorder } = make();
  for (let i = 0; i < 3; i++) recorder.event(pod("p"), "Normal", "Pulled", "image");
  await recorder.flush();
  assert.deepEqual(server.summary, ["Pulled image x3"]);
});

test("EventRecorder.event() goes on counting in a new Event when the old one expired", async () => {
  const { server, recorder } = make();
  recorder.event(pod("p"), "Normal", "Pulled", "image");
  await recorder.flush();
  server.events.clear();
  recorder.event(pod("p"), "Normal", "Pulled", "image");
  recorder.event(pod("p"), "Normal", "Pulled", "image");
  await recorder.flush();
  assert.deepEqual(server.summary, ["Pulled image x3"]);
});

test("EventRecorder.event() combines events that differ only in their message", async () => {
  const { server, recorder } = make();
  for (let i = 0; i < 15; i++) recorder.event(pod("p"), "Normal", "Created", `pod ${i}`);
  await recorder.flush();
  assert.equal(server.events.size, 10);
  assert.equal(server.summary.at(-1), "Created (combined from similar events): pod 14 x6");
});

test("EventRecorder.event() drops what exceeds 25 in a burst per object, and lets others through", async () => {
  const { server, clock, recorder } = make();
  for (let i = 0; i < 40; i++) recorder.event(pod("p"), "Normal", "R", "m");
  recorder.event(pod("q"), "Normal", "R", "m");
  await recorder.flush();
  assert.deepEqual(server.summary, ["R m x25", "R m x1"]);
  await clock.advance(300_000);
  recorder.event(pod("p"), "Normal", "R", "m");
  await recorder.flush();
  assert.deepEqual(server.summary, ["R m x26", "R m x1"]);
});

test("EventRecorder.event() tries again when the server is away, and gives up on a refusal", async () => {
  const { server, clock, recorder } = make();
  server.failure = new ConnectionError("down");
  recorder.event(pod("p"), "Normal", "R", "m");
  await clock.advance(30_000);
  server.failure = undefined;
  await clock.advance(30_000);
  await recorder.flush();
  assert.deepEqual(server.summary, ["R m x1"]);
  server.failure = statusErrors.forbidden({ group: "", resource: "events" }, "", "no");
  recorder.event(pod("q"), "Normal", "R", "m");
  await recorder.flush();
  assert.equal(server.events.size, 1);
});
