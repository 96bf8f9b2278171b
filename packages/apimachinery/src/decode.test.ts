import assert from "node:assert/strict";
import { test } from "node:test";
import { findDuplicateKeys } from "./duplicate-keys.ts";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";
import { checkTypes, DecodeError, strictErrorText } from "./strict-decode.ts";
import { parseYaml, parseYamlDocuments, YamlError } from "./yaml.ts";

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
      wait: field("*meta/v1.Duration", { kind: "duration" }),
      big: field("int64", { kind: "int64" }),
      limits: field("map[ResourceName]resource.Quantity", { kind: "map", values: { kind: "quantity" } }),
      refs: field("[]core/v1.ObjectReference", { kind: "list", items: { kind: "raw" } }),
      raw: field("runtime.RawExtension", { kind: "raw" }),
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
  { name: "base64 has no padding", spec: { data: "YWJjZA" }, want: "illegal base64 data at input byte 4" },
  { name: "base64 is padded too early", spec: { data: "a===" }, want: "illegal base64 data at input byte 1" },
  { name: "base64 goes on after its end", spec: { data: "YWI=YWI=" }, want: "illegal base64 data at input byte 4" },
  {
    name: "bytes are a number",
    spec: { data: 1 },
    want: "json: cannot unmarshal number into Go struct field DeploymentSpec.spec.data of type []uint8",
  },
  {
    name: "a quantity is a boolean",
    spec: { cpu: true },
    want: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  },
  { name: "a quantity's suffix is none", spec: { cpu: "1ki" }, want: "unable to parse quantity's suffix" },
  {
    name: "a port is a boolean",
    spec: { port: true },
    want: "json: cannot unmarshal bool into Go value of type int32",
  },
  {
    name: "a port is no integer",
    spec: { port: 1.5 },
    want: "json: cannot unmarshal number 1.5 into Go value of type int32",
  },
  {
    name: "a time is a number",
    spec: { since: 5 },
    want: "json: cannot unmarshal number into Go value of type string",
  },
  { name: "a duration is none", spec: { wait: "5 min" }, want: 'time: unknown unit " min" in duration "5 min"' },
  {
    name: "text stands for a map of another package's type",
    spec: { limits: "x" },
    want: "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.limits of type map[v1.ResourceName]resource.Quantity",
  },
  {
    name: "a list stands for a struct of another package",
    spec: { refs: {} },
    want: "json: cannot unmarshal object into Go struct field DeploymentSpec.spec.refs of type []v1.ObjectReference",
  },
  {
    name: "a number is beyond 64 bits",
    spec: { big: 2n ** 63n },
    want: "json: cannot unmarshal number 9223372036854775808 into Go struct field DeploymentSpec.spec.big of type int64",
  },
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

test("checkTypes() says of a field that is unknown and repeated only that it is unknown, and looks into nothing raw", () => {
  const text = '{"spec":{"foo":1,"foo":{"a":1,"a":2},"raw":{"b":1,"b":2},"labels":{"x":"1","x":"2"}}}';
  assert.deepEqual(checkTypes(JSON.parse(text), schema, text).strictErrors, [
    'unknown field "spec.foo"',
    'duplicate field "spec.labels.x"',
  ]);
});
test("checkTypes() stops at a hundred complaints", () => {
  const value = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, 1]));
  assert.equal(checkTypes(value, schema, undefined).strictErrors.length, 100);
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
  ["a: y\nb: N\nc: Off\nd: yEs", { a: true, b: false, c: false, d: "yEs" }],
  ["a: 0644\nb: 0x1F\nc: 0b11\nd: 089\ne: -010", { a: 420, b: 31, c: 3, d: 89, e: -8 }],
  ["a: 8080:80\nb: 12:30:45\nc: 10.0.0.1\nd: 1.2.3", { a: "8080:80", b: "12:30:45", c: "10.0.0.1", d: "1.2.3" }],
  [
    "a: 1_000\nb: 1.5\nc: .5\nd: 1e3\ne: 1.\nf: 12e5\ng: -x",
    { a: 1000, b: 1.5, c: 0.5, d: 1000, e: 1, f: 1200000, g: "-x" },
  ],
  ["a: 9223372036854775807\nb: 0123abc", { a: 9223372036854775807n, b: "0123abc" }],
  ["a: 2020-01-02\nb: 2020-01-02T03:04:05+02:00", { a: "2020-01-02", b: "2020-01-02T03:04:05+02:00" }],
  ["a: ~\nb:\nc: null\nd: 'null'\ne: \"\"", { a: null, b: null, c: null, d: "null", e: "" }],
  ["1: a\ntrue: b\n~: c", { 1: "a", true: "b", null: "c" }],
  ["a: !!str 1\nb: !!int '7'\nc: !!binary YWI=", { a: "1", b: 7, c: "ab" }],
  ["a: |\n  x\n  y\nb: >-\n  x\n  y", { a: "x\ny\n", b: "x y" }],
  ["m: [{<<: [{a: 1}, {a: 2, b: 3}], c: 4}]", { m: [{ c: 4, a: 1, b: 3 }] }],
  ['{"a": [1, "x"], "b": {}}', { a: [1, "x"], b: {} }],
  ["# nothing\n", undefined],
  ["base: &b {x: 1}\nd:\n  <<: *b\n  z: 2", { base: { x: 1 }, d: { x: 1, z: 2 } }],
  ["", undefined],
  ["---\na: 1\n---\n", { a: 1 }],
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
  ["an anchor contains itself", "a: &a [*a]", /unknown anchor|contains itself|excessive aliasing|exceeded max depth/],
  ["a number is infinite", "a: .inf", /^error converting YAML to JSON: yaml: json: unsupported value: inf$/],
  ["a key is a list", "? [a]\n: b", /invalid map key/],
  ["it is too deep", "[".repeat(1100) + "]".repeat(1100), /max depth|depth/i],
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

test("parseYamlDocuments() gives every document that is not empty", () => {
  const text = "# head\n---\na: 1\n---\n---\n# only a comment\n---\nb: 2\nb: 3\n...\n";
  assert.deepEqual(parseYamlDocuments(text), [
    { value: { a: 1 }, duplicates: [] },
    { value: { b: 3 }, duplicates: ['line 9: key "b" already set in map'] },
  ]);
  assert.deepEqual(parseYamlDocuments(""), []);
});

test("parseYaml() keeps __proto__ as data", () => {
  const value = parseYaml("__proto__: {polluted: true}").value as object;
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  assert.equal((value as { polluted?: boolean }).polluted, undefined);
});
