import assert from "node:assert/strict";
import { test } from "node:test";
import type { Deployment, ReplicaSet } from "@knarr/api/generated/types/apps-v1.ts";
import { planRollback } from "./deployment-rollback.ts";

const template = (image: string, hash?: string) => ({
  metadata: { labels: { app: "web", ...(hash === undefined ? {} : { "pod-template-hash": hash }) } },
  spec: { containers: [{ name: "c", image }] },
});
const deployment = (rollback: string | undefined): Deployment => ({
  metadata: {
    name: "web",
    annotations: {
      "deployment.kubernetes.io/revision": "3",
      ...(rollback === undefined ? {} : { "deprecated.deployment.rollback.to": rollback }),
    },
  },
  spec: { selector: {}, template: template("v3") },
});
const set = (revision: number): ReplicaSet => ({
  metadata: {
    name: `web-${revision}`,
    annotations: {
      "deployment.kubernetes.io/revision": `${revision}`,
      "kubernetes.io/change-cause": `to v${revision}`,
    },
  },
  spec: { selector: {}, template: template(`v${revision}`, `h${revision}`) },
});
const sets = [set(1), set(3), set(2)];

const rows: { asked: string; image: string; reason: string }[] = [
  { asked: "1", image: "v1", reason: "DeploymentRollback" },
  { asked: "0", image: "v2", reason: "DeploymentRollback" },
  { asked: "3", image: "v3", reason: "DeploymentRollbackTemplateUnchanged" },
  { asked: "9", image: "v3", reason: "DeploymentRollbackRevisionNotFound" },
];
for (const { asked, image, reason } of rows) {
  test(`planRollback() gives ${image}, ${reason} when revision ${asked} is asked for`, () => {
    const got = planRollback(deployment(asked), sets);
    assert.equal(got?.event.reason, reason);
    assert.equal(got?.deployment.spec?.template?.spec?.containers[0]?.image, image);
    assert.deepEqual(got?.deployment.spec?.template?.metadata?.labels, { app: "web" });
    assert.equal(got?.deployment.metadata.annotations?.["deprecated.deployment.rollback.to"], undefined);
    assert.equal(got?.deployment.metadata.annotations?.["deployment.kubernetes.io/revision"], "3");
  });
}

test("planRollback() is undefined when nobody asks, or not for a number", () => {
  assert.equal(planRollback(deployment(undefined), sets), undefined);
  assert.equal(planRollback(deployment("x"), sets), undefined);
});

test("planRollback() restores the annotations of then", () => {
  const got = planRollback(deployment("1"), sets);
  assert.equal(got?.deployment.metadata.annotations?.["kubernetes.io/change-cause"], "to v1");
});
