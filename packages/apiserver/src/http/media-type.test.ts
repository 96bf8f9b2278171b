import assert from "node:assert/strict";
import { test } from "node:test";
import { negotiate } from "./media-type.ts";

const table = "application/json;as=Table;v=v1;g=meta.k8s.io";
const rows: { name: string; accept: string; want: { transform: string; contentType: string } }[] = [
  { name: "takes nothing for JSON", accept: "", want: { transform: "none", contentType: "application/json" } },
  {
    name: "takes the table first asked for",
    accept: `${table},application/json`,
    want: { transform: "Table", contentType: "application/json" },
  },
  {
    name: "serves the table's old version",
    accept: `application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json`,
    want: { transform: "Table", contentType: "application/json" },
  },
  {
    name: "passes over versions that never were",
    accept: `application/json;as=Table;v=v2;g=meta.k8s.io,application/json`,
    want: { transform: "none", contentType: "application/json" },
  },
  {
    name: "passes over tables in protobuf",
    accept: "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
    want: { transform: "none", contentType: "application/json" },
  },
  ...["application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf, */*"].map((accept) => ({
    name: `serves protobuf for ${accept}`,
    accept,
    want: { transform: "none", contentType: "application/vnd.kubernetes.protobuf" },
  })),
  {
    name: "heeds quality",
    accept: "application/yaml;q=0.5,application/json",
    want: { transform: "none", contentType: "application/json" },
  },
  { name: "serves YAML", accept: "application/yaml", want: { transform: "none", contentType: "application/yaml" } },
];
for (const { name, accept, want } of rows) {
  test(`negotiate() ${name}`, () => {
    const { transform, contentType } = negotiate(accept);
    assert.deepEqual({ transform, contentType }, want);
  });
}
for (const accept of [
  "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
  "text/html",
  "application/json;q=0",
]) {
  test(`negotiate() is 406 when only ${accept} is accepted`, () => {
    assert.throws(() => negotiate(accept), { name: "StatusError", code: 406 });
  });
}
test("negotiate() is 406 when a table is asked of what has none", () => {
  assert.throws(() => negotiate(table, { transforms: [] }), { name: "StatusError", code: 406 });
});
test("negotiate() is 406 when a watch is asked for as YAML", () => {
  assert.throws(() => negotiate("application/yaml", { stream: true }), { name: "StatusError", code: 406 });
});
