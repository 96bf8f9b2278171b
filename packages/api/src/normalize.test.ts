import assert from "node:assert/strict";
import { test } from "node:test";
import { normalizeStruct, zeroStruct } from "./normalize.ts";
import { structSchema } from "./schema.ts";

const table: readonly { name: string; type: string; object: Record<string, unknown>; want: object }[] = [
  {
    name: "drops zero values of omitempty fields, keeps pointers to them",
    type: "PodSpec",
    object: {
      containers: [],
      hostNetwork: false,
      nodeName: "",
      tolerations: [],
      nodeSelector: {},
      activeDeadlineSeconds: 0,
      enableServiceLinks: false,
    },
    want: { containers: [], activeDeadlineSeconds: 0, enableServiceLinks: false },
  },
  {
    name: "adds structs that are not pointers",
    type: "Container",
    object: { name: "a" },
    want: { name: "a", resources: {} },
  },
  {
    name: "adds fields without omitempty",
    type: "ContainerStatus",
    object: { name: "a" },
    want: { name: "a", state: {}, lastState: {}, ready: false, restartCount: 0, image: "", imageID: "" },
  },
  {
    name: "makes quantities canonical, in maps and fields",
    type: "Container",
    object: { name: "a", resources: { limits: { cpu: "1000m", memory: "0.5Gi", "example.com/x": 2 } } },
    want: { name: "a", resources: { limits: { cpu: "1", memory: "512Mi", "example.com/x": "2" } } },
  },
  {
    name: "makes text of quantities beyond the precision of numbers",
    type: "ResourceRequirements",
    object: { limits: { cpu: 9_007_199_254_740_993n, memory: 10n ** 24n } },
    want: { limits: { cpu: "9007199254740993", memory: "1000000E" } },
  },
  {
    name: "makes empty bytes of null in a map of bytes",
    type: "Secret",
    object: { data: { a: null, b: "Yg==" } },
    want: { metadata: {}, data: { a: "", b: "Yg==" } },
  },
  {
    name: "drops null",
    type: "Container",
    object: { name: "a", command: null, securityContext: null },
    want: { name: "a", resources: {} },
  },
  {
    name: "leaves unknown fields and what is no quantity alone",
    type: "ResourceFieldSelector",
    object: { resource: "limits.cpu", divisor: "one", extra: "" },
    want: { resource: "limits.cpu", divisor: "one", extra: "" },
  },
];

for (const { name, type, object, want } of table) {
  test(`normalizeStruct() ${name}`, () => {
    const schema = structSchema("core/v1", type);
    normalizeStruct(object, schema);
    assert.deepEqual(object, want);
    normalizeStruct(object, schema);
    assert.deepEqual(object, want, "idempotent");
  });
}

test("zeroStruct() is what Go writes for a status that was never set", () => {
  assert.deepEqual(zeroStruct(structSchema("apps/v1", "ReplicaSetStatus")), { replicas: 0 });
  assert.deepEqual(zeroStruct(structSchema("apps/v1", "DeploymentStatus")), {});
});
