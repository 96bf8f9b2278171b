import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterEvent } from "./cluster-event.ts";
import { FlightLog } from "./flight-log.ts";

const event = (name: string) =>
  ({ resource: "Namespace", action: "Add", object: { metadata: { name } } }) as unknown as ClusterEvent;
const names = (events: readonly ClusterEvent[] | undefined) =>
  events?.map((seen) => (seen as unknown as { object: { metadata: { name: string } } }).object.metadata.name);

test("FlightLog.end() returns what happened since the pod began, and its own", () => {
  const log = new FlightLog();
  log.tellAll(event("before anybody"));
  log.begin("a");
  log.tellAll(event("1"));
  log.begin("b");
  log.tellAll(event("2"));
  log.tell("b", event("own"));
  assert.deepEqual(names(log.end("a")), ["1", "2"]);
  assert.deepEqual(names(log.end("b")), ["own", "2"]);
  assert.equal(log.end("b"), undefined);
});

test("FlightLog forgets what no pod in flight needs", () => {
  const log = new FlightLog();
  log.begin("slow");
  for (let i = 0; i < 1000; i++) {
    log.begin(`quick-${i}`);
    log.tellAll(event(String(i)));
    assert.equal(log.end(`quick-${i}`)?.length, 1);
  }
  assert.equal(log.size, 1000);
  log.begin("late");
  log.tellAll(event("last"));
  assert.equal(log.end("slow")?.length, 1001);
  assert.equal(log.size, 1);
  assert.deepEqual(names(log.end("late")), ["last"]);
  assert.equal(log.size, 0);
});

test("FlightLog.begin() starts anew for a pod that is in flight already", () => {
  const log = new FlightLog();
  log.begin("a");
  log.tellAll(event("1"));
  log.begin("a");
  log.tellAll(event("2"));
  assert.deepEqual(names(log.end("a")), ["2"]);
});
