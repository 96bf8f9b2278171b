import assert from "node:assert/strict";
import { test } from "node:test";
import type { KindDescriptor } from "@knarr/api/descriptor.ts";
import type { ObjectMeta } from "@knarr/apimachinery/generated/meta-v1.ts";
import type { DeleteRequestOptions } from "./delete-options.ts";
import { type DeletionPlan, planDeletion } from "./deletion.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const plain: DeleteRequestOptions = {
  dryRun: false,
  gracePeriodSeconds: undefined,
  propagation: undefined,
  orphanDependentsFalse: false,
  uid: undefined,
  resourceVersion: undefined,
};
const kind = (grace: (asked: number | undefined) => number | undefined, orphan = false) =>
  ({
    deletion: {
      defaultPropagation: orphan ? "Orphan" : "Background",
      graceSeconds: (_object: unknown, asked: number | undefined) => grace(asked),
    },
  }) as unknown as KindDescriptor;
const none = kind(() => undefined);
const graceful = kind((asked) => asked ?? 30);

const rows: {
  name: string;
  kind: KindDescriptor;
  metadata?: ObjectMeta;
  options?: Partial<DeleteRequestOptions>;
  plan: DeletionPlan;
  want?: ObjectMeta;
}[] = [
  { name: "removes when nothing waits", kind: none, plan: { kind: "remove", marked: false } },
  {
    name: "marks when a finalizer waits",
    kind: none,
    metadata: { finalizers: ["a/b"], generation: 1 },
    plan: { kind: "mark" },
    want: {
      finalizers: ["a/b"],
      generation: 2,
      deletionTimestamp: "2026-01-01T00:00:00Z",
      deletionGracePeriodSeconds: 0,
    },
  },
  {
    name: "changes nothing when it is marked already",
    kind: none,
    metadata: { finalizers: ["a/b"], deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 },
    plan: { kind: "pending" },
  },
  {
    name: "marks with the grace period and bumps the generation",
    kind: graceful,
    metadata: { generation: 1 },
    plan: { kind: "mark" },
    want: { generation: 2, deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30 },
  },
  {
    name: "removes with marks when the grace is 0",
    kind: graceful,
    options: { gracePeriodSeconds: 0 },
    plan: { kind: "remove", marked: true },
    want: { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 },
  },
  {
    name: "keeps a running grace period that is shorter",
    kind: graceful,
    metadata: { deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30 },
    options: { gracePeriodSeconds: 60 },
    plan: { kind: "pending" },
  },
  {
    name: "shortens a running grace period",
    kind: graceful,
    metadata: { deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30 },
    options: { gracePeriodSeconds: 5 },
    plan: { kind: "mark" },
    want: { deletionTimestamp: "2026-01-01T00:00:05Z", deletionGracePeriodSeconds: 5 },
  },
  {
    name: "waits for finalizers even with grace 0",
    kind: graceful,
    metadata: { finalizers: ["a/b"] },
    options: { gracePeriodSeconds: 0 },
    plan: { kind: "mark" },
  },
  {
    name: "adds the foreground finalizer",
    kind: none,
    options: { propagation: "Foreground" },
    plan: { kind: "mark" },
    want: {
      finalizers: ["foregroundDeletion"],
      deletionTimestamp: "2026-01-01T00:00:00Z",
      deletionGracePeriodSeconds: 0,
    },
  },
  { name: "orphans where that is the kind's default", kind: kind(() => undefined, true), plan: { kind: "mark" } },
  {
    name: "replaces the orphan finalizer when background is asked for",
    kind: none,
    metadata: { finalizers: ["orphan"] },
    options: { propagation: "Background" },
    plan: { kind: "remove", marked: false },
    want: {},
  },
];
for (const row of rows) {
  test(`planDeletion() ${row.name}`, () => {
    const object = { metadata: structuredClone(row.metadata ?? {}) };
    assert.deepEqual(planDeletion(row.kind, object, { ...plain, ...row.options }, NOW), row.plan);
    if (row.want !== undefined) assert.deepEqual(object.metadata, row.want);
  });
}
