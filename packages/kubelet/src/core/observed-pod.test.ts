import assert from "node:assert/strict";
import test from "node:test";
import { latestExitOf, type ObservedContainer } from "./observed-pod.ts";
import { exited, observed, ran } from "./testing.ts";

const exits: { name: string; containers: ObservedContainer[]; want: string | undefined }[] = [
  { name: "nothing ended", containers: [ran("main")], want: undefined },
  { name: "the newest ended", containers: [exited("main", 1, { id: "b" }), exited("main", 1, { id: "a" })], want: "b" },
  { name: "the newest still runs", containers: [ran("main", { id: "b" }), exited("main", 1, { id: "a" })], want: "a" },
  { name: "another container ended", containers: [ran("main"), exited("other", 1)], want: undefined },
  { name: "it ended before it ran", containers: [exited("main", 128, { finishedAt: 0 })], want: undefined },
];
for (const { name, containers, want } of exits) {
  test(`latestExitOf() answers ${want ?? "nothing"} when ${name}`, () => {
    assert.equal(latestExitOf(observed(containers), "main")?.id, want);
  });
}
