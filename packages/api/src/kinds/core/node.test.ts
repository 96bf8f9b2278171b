import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../generated/types/core-v1.ts";
import { nodeKind } from "./node.ts";

const node = (status: Node["status"]): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "n" },
  ...(status === undefined ? {} : { status }),
});

test("nodeKind keeps the status that a node is made with", () => {
  const made = node({ capacity: { cpu: "2" }, conditions: [{ type: "Ready", status: "True" }] });
  nodeKind.default(made);
  nodeKind.prepareForCreate(made);
  assert.deepEqual(made.status?.capacity, { cpu: "2" });
  assert.deepEqual(made.status?.allocatable, { cpu: "2" });
  assert.equal(made.status?.conditions?.[0]?.status, "True");
  assert.deepEqual(nodeKind.validate(made), []);
});

test("nodeKind refuses a node that is made with amounts that are none", () => {
  const errors = nodeKind.validate(node({ capacity: { cpu: "-1" } }));
  assert.deepEqual(
    errors.map((e) => e.field),
    ["status.capacity.cpu"],
  );
});
