import assert from "node:assert/strict";
import { test } from "node:test";
import { findDuplicateKeys } from "./duplicate-keys.ts";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";
import { checkTypes, DecodeError, strictErrorText } from "./strict-decode.ts";
import { parseYaml, YamlError } from "./yaml.ts";

const field = (goType: string, type: TypeSchema): FieldSchema => ({
  type,
  goType,
  default: undefined,
  listType: undefined,
  listMapKeys: undefined,
  patchStrategy: undefined,
  patchMergeKey: undefined,
  mapType: undefined,
});
const struct = (name: string, fields: Record<string, FieldSchema>): StructSchema => ({
  name,
  fields: new Map(Object.entries(fields)),
  atomic: false,
});
const container = struct("Container", { image: field("string", { kind: "string" }) });
const schema = struct("Deployment", {
  spec: field("DeploymentSpec", {
    kind: "struct",
    struct: struct("DeploymentSpec", {
      replicas: field("*int32", { kind: "int32" }),
      paused: field("bool", { kind: "boolean" }),
      cpu: field("resource.Quantity", { kind: "quantity" }),
      since: field("metav1.Time", { kind: "time" }),
      data: field("[]byte", { kind: "bytes" }),
      port: field("intstr.IntOrString", { kind: "intOrString" }),
      labels: field("map[string]string", { kind: "map", values: { kind: "string" } }),
      containers: field("[]Container", { kind: "list", items: { kind: "struct", struct: container } }),
    }),
  }),
});

const wrong: { name: string; spec: unknown; want: string }[] = [
  {
    name: "text stands for a number",
    spec: { replicas: "3" },
    want: "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
  },
  {
    name: "a number is not whole",
    spec: { replicas: 1.5 },
    want: "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
  },
  {
    name: "a number is too large",
    spec: { replicas: 2 ** 31 },
    want: "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
  },
  {
    name: "a number stands for text in a list",
    spec: { containers: [{ image: 5 }] },
    want: "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
  },
  {
    name: "an object stands for a list",
    spec: { containers: {} },
    want: "json: cannot unmarshal object into Go struct field DeploymentSpec.spec.containers of type []v1.Container",
  },
  {
    name: "text stands for a struct",
    spec: "x",
    want: "json: cannot unmarshal string into Go struct field Deployment.spec of type v1.DeploymentSpec",
  },
  {
    name: "a label is a boolean",
    spec: { labels: { a: true } },
    want: "json: cannot unmarshal bool into Go struct field DeploymentSpec.spec.labels of type string",
  },
  {
    name: "a quantity is none",
    spec: { cpu: "lots" },
    want: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  },
  { name: "base64 is broken", spec: { data: "a$==" }, want: "illegal base64 data at input byte 1" },
  {
    name: "a time is none",
    spec: { since: "today" },
    want: 'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"',
  },
];
for (const { name, spec, want } of wrong) {
  test(`checkTypes() throws Go's words when ${name}`, () => {
    assert.throws(
      () => checkTypes({ spec }, schema, undefined),
      (error) => error instanceof DecodeError && error.message === want,
    );
  });
}

test("checkTypes() accepts nulls and every right type", () => {
  const spec = {
    replicas: null,
    paused: true,
    cpu: 1,
    since: "2026-01-01T00:00:00Z",
    data: "YWI=",
    port: "http",
    containers: [null, { image: "x" }],
  };
  assert.deepEqual(checkTypes({ spec }, schema, undefined).strictErrors, []);
});

test("checkTypes() names unknown fields first, then duplicates, on one line", () => {
  const text = '{"spec":{"replicas":1,"replicas":2,"foo":1,"containers":[{"bar":1}]}}';
  const { strictErrors } = checkTypes(JSON.parse(text), schema, text);
  assert.equal(
    strictErrorText(strictErrors),
    'strict decoding error: unknown field "spec.foo", unknown field "spec.containers[0].bar", duplicate field "spec.replicas"',
  );
});

const duplicates: [text: string, want: string[]][] = [
  ['{"a":1,"b":{"a":1}}', []],
  ['{"a":1,"a":2,"a":3}', ["a"]],
  ['{"l":[{"x":1},{"x":1,"y":"{\\"x\\":1,\\"x\\":2}","x":2}]}', ["l[1].x"]],
  ['{"a\\u0062":1,"ab":2}', ["ab"]],
  ['{"a":"\\\\","a":1}', ["a"]],
];
for (const [text, want] of duplicates) {
  test(`findDuplicateKeys() gives ${want.join() || "nothing"} when the text is ${text}`, () => {
    assert.deepEqual(findDuplicateKeys(text), want);
  });
}

const yamls: [text: string, want: unknown][] = [
  ["a: yes\nb: on\nc: 'no'", { a: true, b: true, c: "no" }],
  ["a: 0644\nb: 0o10", { a: 420, b: "0o10" }],
  ["base: &b {x: 1}\nd:\n  <<: *b\n  z: 2", { base: { x: 1 }, d: { x: 1, z: 2 } }],
  ["", undefined],
  ["---\na: 1\n---\n", { a: 1 }],
  ["a: 2020-01-02", { a: "2020-01-02" }],
];
for (const [text, want] of yamls) {
  test(`parseYaml() reads ${JSON.stringify(text)} as upstream does`, () =>
    assert.deepEqual(parseYaml(text).value, want));
}

test("parseYaml() reports duplicate keys with line and name", () => {
  assert.deepEqual(parseYaml("a: 1\nb:\n  c: 1\n  c: 2\n").duplicates, ['line 4: key "c" already set in map']);
});

const badYamls: [name: string, text: string, want: RegExp][] = [
  ["it is broken", "a: [1", /^error converting YAML to JSON: yaml: line \d+: /],
  ["an anchor is unknown", "a: *x", /anchor|alias/i],
  ["there are two documents", "a: 1\n---\nb: 1", /only one document/],
  [
    "aliases explode",
    [
      "a: &a [x,x,x,x,x,x,x,x,x]",
      ...[..."bcdefghi"].map((k, i) => `${k}: &${k} [${Array(9).fill(`*${String.fromCharCode(97 + i)}`)}]`),
    ].join("\n"),
    /excessive aliasing/,
  ],
];
for (const [name, text, want] of badYamls) {
  test(`parseYaml() throws YamlError when ${name}`, () => {
    assert.throws(
      () => parseYaml(text),
      (error) => error instanceof YamlError && want.test(error.message),
    );
  });
}

test("parseYaml() keeps __proto__ as data", () => {
  const value = parseYaml("__proto__: {polluted: true}").value as object;
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  assert.equal((value as { polluted?: boolean }).polluted, undefined);
});
