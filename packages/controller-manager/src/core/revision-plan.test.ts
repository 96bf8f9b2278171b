import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControllerRevision } from "@knarr/api/generated/types/apps-v1.ts";
import type { PodTemplateSpec } from "@knarr/api/generated/types/core-v1.ts";
import { stringifyCanonical } from "@knarr/apimachinery/json.ts";
import {
  planHistory,
  planRevision,
  revisionDataOf,
  revisionHash,
  revisionName,
  sortRevisions,
  templateOf,
} from "./revision-plan.ts";

/** As Kubernetes 1.34 stores it; the hash below is the one that 1.34 made of it. */
const template: PodTemplateSpec = {
  metadata: { annotations: { test: "value" }, labels: { app: "foo" } },
  spec: {
    containers: [
      {
        image: "test",
        imagePullPolicy: "Always",
        name: "test",
        resources: {},
        terminationMessagePath: "/dev/termination-log",
        terminationMessagePolicy: "File",
      },
    ],
    dnsPolicy: "ClusterFirst",
    restartPolicy: "Always",
    schedulerName: "default-scheduler",
    securityContext: {},
    terminationGracePeriodSeconds: 30,
  },
};
const revision = (name: string, number: number, of: PodTemplateSpec): ControllerRevision => ({
  metadata: { name },
  data: revisionDataOf(of) as never,
  revision: number,
});
const other: PodTemplateSpec = { ...template, metadata: { labels: { app: "bar" } } };

test("revisionHash() makes the name that Kubernetes 1.34 made of the same template", () => {
  assert.equal(revisionName("test", revisionHash(revisionDataOf(template), 0)), "test-776999688b");
});

test("revisionDataOf() is a replacing patch whose bytes are Go's, and templateOf() its inverse", () => {
  const data = revisionDataOf({ spec: { containers: [{ name: "<c>", image: "i" }] } });
  assert.equal(
    stringifyCanonical(data),
    '{"spec":{"template":{"$patch":"replace","spec":{"containers":[{"image":"i","name":"\\u003cc\\u003e"}]}}}}',
  );
  assert.deepEqual(templateOf(revision("r", 1, template)), template);
});

test("planRevision() keeps, renumbers or creates", () => {
  const [a, b] = [revision("a", 1, template), revision("b", 2, other)];
  assert.deepEqual(planRevision([], revisionDataOf(template)), { kind: "create", to: 1 });
  assert.deepEqual(planRevision([a], revisionDataOf(template)), { kind: "keep", revision: a });
  assert.deepEqual(planRevision([a], revisionDataOf(other)), { kind: "create", to: 2 });
  assert.deepEqual(planRevision([a, b], revisionDataOf(template)), { kind: "renumber", revision: a, to: 3 });
});

test("planHistory() gives up the oldest that nothing lives by", () => {
  const all = sortRevisions([revision("c", 3, other), revision("a", 1, template), revision("b", 2, other)]);
  const names = (limit: number, ...live: string[]) =>
    planHistory(all, new Set(live), limit).map(({ metadata }) => metadata.name);
  assert.deepEqual(names(0, "c"), ["a", "b"]);
  assert.deepEqual(names(1, "c"), ["a"]);
  assert.deepEqual(names(1, "a", "c"), []);
});
