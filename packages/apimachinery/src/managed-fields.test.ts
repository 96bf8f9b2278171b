import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeFieldsV1,
  differenceOfSets,
  encodeFieldsV1,
  formatPath,
  hasPath,
  intersectionOfSets,
  isEmptySet,
  pathsOf,
  recursiveDifference,
  setOfPaths,
  setsEqual,
  unionSets,
} from "./field-set.ts";
import { LAST_APPLIED_ANNOTATION } from "./last-applied.ts";
import { type ApplyOptions, sameOwners, serverSideApply, trackUpdate } from "./managed-fields.ts";
import type { KubeObject } from "./object.ts";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";
import { StatusError } from "./status-error.ts";
import { compareValues, mergeApplied, Slot } from "./typed-merge.ts";

const field = (type: TypeSchema, more: Partial<FieldSchema> = {}): FieldSchema => ({
  type,
  goType: "",
  default: undefined,
  listType: undefined,
  listMapKeys: undefined,
  patchStrategy: undefined,
  patchMergeKey: undefined,
  mapType: undefined,
  ...more,
});
const struct = (name: string, fields: Record<string, FieldSchema>): StructSchema => ({
  name,
  fields: new Map(Object.entries(fields)),
  atomic: false,
});
const scalar = field({ kind: "string" });
const port = struct("Port", {
  port: field({ kind: "int32" }),
  protocol: field({ kind: "string" }, { default: "TCP" }),
  name: scalar,
});
const spec = struct("Spec", {
  replicas: field({ kind: "int32" }),
  color: scalar,
  ports: field(
    { kind: "list", items: { kind: "struct", struct: port } },
    { listType: "map", listMapKeys: ["port", "protocol"] },
  ),
  tags: field({ kind: "list", items: { kind: "string" } }, { listType: "set" }),
  args: field({ kind: "list", items: { kind: "string" } }, { listType: "atomic" }),
  hosts: field(
    { kind: "list", items: { kind: "struct", struct: struct("Host", { name: scalar, ip: scalar }) } },
    { listType: "map", listMapKeys: ["name"] },
  ),
  probe: field({ kind: "struct", struct: struct("Probe", { path: scalar, periodSeconds: field({ kind: "int32" }) }) }),
  selector: field({ kind: "map", values: { kind: "string" } }, { mapType: "atomic" }),
});
const meta = struct("ObjectMeta", {
  name: scalar,
  labels: field({ kind: "map", values: { kind: "string" } }),
  managedFields: field({ kind: "list", items: { kind: "any" } }, { listType: "atomic" }),
});
const schema = struct("Thing", {
  metadata: field({ kind: "struct", struct: meta }),
  spec: field({ kind: "struct", struct: spec }),
  status: field({ kind: "struct", struct: struct("Status", { phase: scalar }) }),
});
type Thing = KubeObject & { spec?: Record<string, unknown>; status?: Record<string, unknown> };
const thing = (fields: Omit<Thing, "metadata"> & { metadata?: Thing["metadata"] }): Thing => ({
  apiVersion: "v1",
  kind: "Thing",
  metadata: { name: "t" },
  ...fields,
});
const options = (manager: string, more: Partial<ApplyOptions> = {}): ApplyOptions => ({
  schema,
  identity: { manager, subresource: "", apiVersion: "v1" },
  now: "2026-01-01T00:00:00Z",
  resetFields: [["status"]],
  force: false,
  ...more,
});
const apply = (live: Thing | undefined, applied: Thing, manager: string, more: Partial<ApplyOptions> = {}): Thing => {
  const { object, managedFields } = serverSideApply(live, applied, options(manager, more));
  return { ...object, metadata: { ...object.metadata, managedFields: managedFields(object) } };
};
const update = (live: Thing | undefined, written: Thing, manager: string, more: Partial<ApplyOptions> = {}): Thing => ({
  ...written,
  metadata: { ...written.metadata, managedFields: trackUpdate(live, written, options(manager, more)) },
});
const owned = (object: Thing, manager: string, operation = "Apply") => {
  const entry = object.metadata.managedFields?.find((e) => e.manager === manager && e.operation === operation);
  return entry === undefined ? undefined : [...pathsOf(decodeFieldsV1(entry.fieldsV1))].map(formatPath);
};

test("serverSideApply() owns leaves and items, not maps that have content", () => {
  const made = apply(
    undefined,
    thing({
      metadata: { name: "t", labels: { a: "1" } },
      spec: { ports: [{ port: 80, name: "http" }], tags: ["x"], args: ["a"] },
    }),
    "me",
  );
  assert.deepEqual(made.metadata.managedFields?.[0]?.fieldsV1, {
    "f:metadata": { "f:labels": { "f:a": {} } },
    "f:spec": {
      "f:args": {},
      "f:ports": { 'k:{"port":80,"protocol":"TCP"}': { ".": {}, "f:name": {}, "f:port": {} } },
      "f:tags": { 'v:"x"': {} },
    },
  });
});

test("serverSideApply() removes what the manager no longer applies and nobody else owns", () => {
  const first = apply(
    undefined,
    thing({ spec: { color: "red", replicas: 2, tags: ["a", "b"], ports: [{ port: 80 }, { port: 81 }] } }),
    "me",
  );
  const shared = apply(first, thing({ spec: { replicas: 2, ports: [{ port: 81, name: "x" }] } }), "other");
  const second = apply(shared, thing({ spec: { tags: ["b"], ports: [{ port: 80 }] } }), "me");
  assert.deepEqual(second.spec, { replicas: 2, tags: ["b"], ports: [{ port: 80 }, { port: 81, name: "x" }] });
});

test("serverSideApply() names the one field and its manager when they conflict", () => {
  const live = apply(undefined, thing({ spec: { color: "red" } }), "first");
  assert.throws(
    () => apply(live, thing({ spec: { color: "blue" } }), "second"),
    (error) => {
      assert.ok(error instanceof StatusError);
      assert.equal(error.code, 409);
      assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "first": .spec.color');
      assert.deepEqual(error.status.details?.causes, [
        { reason: "FieldManagerConflict", message: 'conflict with "first"', field: ".spec.color" },
      ]);
      return true;
    },
  );
});

test("serverSideApply() lists every field by manager when several conflict", () => {
  const live = update(undefined, thing({ spec: { color: "red", replicas: 1 } }), "kubectl-edit");
  assert.throws(
    () => apply(live, thing({ spec: { color: "blue", replicas: 2 } }), "second"),
    /Apply failed with 2 conflicts: conflicts with "kubectl-edit" using v1:\n- \.spec\.color\n- \.spec\.replicas/,
  );
});

test("serverSideApply() takes the field from its owner when forced, and shares it when the values agree", () => {
  const live = apply(undefined, thing({ spec: { color: "red" } }), "first");
  const same = apply(live, thing({ spec: { color: "red" } }), "second");
  assert.deepEqual([owned(same, "first"), owned(same, "second")], [[".spec.color"], [".spec.color"]]);
  const forced = apply(same, thing({ spec: { color: "blue" } }), "second", { force: true });
  assert.deepEqual([owned(forced, "first"), owned(forced, "second")], [undefined, [".spec.color"]]);
});

test("serverSideApply() changes nothing, not even the time, when the same is applied again", () => {
  const first = apply(undefined, thing({ spec: { color: "red" } }), "me");
  assert.deepEqual(apply(first, thing({ spec: { color: "red" } }), "me", { now: "2027-01-01T00:00:00Z" }), first);
});

test("serverSideApply() gives an untracked object to before-first-apply", () => {
  const live = thing({ spec: { color: "red", replicas: 1 } });
  const after = apply(live, thing({ spec: { color: "red" } }), "me", { empty: { spec: {}, status: {} } });
  assert.deepEqual(owned(after, "before-first-apply", "Update"), [".spec.color", ".spec.replicas"]);
  const unaware = apply(live, thing({ spec: { color: "red" } }), "me");
  assert.deepEqual(owned(unaware, "before-first-apply", "Update"), [".spec", ".spec.color", ".spec.replicas"]);
});

test("serverSideApply() never owns what the subresource resets", () => {
  const made = apply(undefined, thing({ spec: { color: "red" }, status: { phase: "x" } }), "me");
  assert.deepEqual(owned(made, "me"), [".spec.color"]);
});

test("serverSideApply() replaces atomic lists and maps as a whole", () => {
  const live = apply(undefined, thing({ spec: { args: ["a", "b"], selector: { x: "1", y: "2" } } }), "me");
  assert.deepEqual(apply(live, thing({ spec: { args: ["c"], selector: { z: "3" } } }), "me").spec, {
    args: ["c"],
    selector: { z: "3" },
  });
});

test("trackUpdate() owns what was added and changed, containers included, and lets go of what was removed", () => {
  const made = update(
    undefined,
    thing({ metadata: { name: "t", labels: { a: "1" } }, spec: { color: "red" } }),
    "creator",
  );
  assert.deepEqual(made.metadata.managedFields?.[0]?.fieldsV1, {
    "f:metadata": { "f:labels": { ".": {}, "f:a": {} } },
    "f:spec": { ".": {}, "f:color": {} },
  });
  const edited = update(made, { ...made, spec: { color: "blue", replicas: 1 } }, "editor");
  assert.deepEqual(owned(edited, "creator", "Update"), [".spec", ".metadata.labels", ".metadata.labels.a"]);
  assert.deepEqual(owned(edited, "editor", "Update"), [".spec.color", ".spec.replicas"]);
  const cleared = update(edited, { ...edited, spec: { replicas: 1 } }, "creator");
  assert.deepEqual(owned(cleared, "editor", "Update"), [".spec.replicas"]);
});

test("trackUpdate() keeps a status writer apart from a spec writer of the same name", () => {
  const made = update(undefined, thing({ spec: { color: "red" } }), "c");
  const status = { identity: { manager: "c", subresource: "status", apiVersion: "v1" }, resetFields: [["spec"]] };
  const reported = update(made, { ...made, status: { phase: "Running" } }, "c", status);
  assert.deepEqual(
    reported.metadata.managedFields?.map((e) => e.subresource),
    [undefined, "status"],
  );
});

test("trackUpdate() folds the oldest managers together when more than ten updated", () => {
  let object = update(undefined, thing({ metadata: { name: "t", labels: { l0: "" } } }), "m0");
  for (let i = 1; i <= 15; i++) {
    const labels = { ...object.metadata.labels, [`l${i}`]: "" };
    object = update(object, { ...object, metadata: { ...object.metadata, labels } }, `m${i}`, {
      now: `2026-01-01T00:00:${10 + i}Z`,
    });
  }
  assert.equal(object.metadata.managedFields?.length, 10);
  assert.ok(object.metadata.managedFields?.some((e) => e.manager === "ancient-changes"));
});

test("trackUpdate() starts anew when the client empties managedFields", () => {
  const made = update(undefined, thing({ spec: { color: "red" } }), "a");
  const reset = update(made, { ...made, metadata: { ...made.metadata, managedFields: [] } }, "b");
  assert.deepEqual(reset.metadata.managedFields, []);
});

test("mergeApplied() puts applied items in their order and leaves the others where they stood", () => {
  const slot = new Slot({ kind: "struct", struct: spec });
  const merged = mergeApplied(slot, { tags: ["a", "b", "c", "d"] }, { tags: ["d", "x", "b"] });
  assert.deepEqual(merged, { tags: ["a", "c", "d", "x", "b"] });
});

// Source: structured-merge-diff typed/merge_test.go, the behaviour of ordered merging
const merges: [live: string, applied: string, want: string][] = [
  ["", "abc", "abc"],
  ["abc", "", "abc"],
  ["abc", "cba", "cba"],
  ["ab", "xb", "axb"],
  ["abcd", "dxb", "acdxb"],
  ["abc", "xyz", "abcxyz"],
  ["acbde", "de", "acbde"],
  ["bcd", "abcdef", "abcdef"],
  ["xbyd", "abcde", "xabycde"],
  ["aab", "b", "aab"],
  ["aab", "ab", "ab"],
];
for (const [live, applied, want] of merges) {
  test(`mergeApplied() makes ${want} when ${applied || "nothing"} is applied to ${live || "nothing"}`, () => {
    const slot = new Slot({ kind: "struct", struct: spec });
    assert.deepEqual(mergeApplied(slot, { tags: [...live] }, { tags: [...applied] }), { tags: [...want] });
  });
}

test("serverSideApply() takes a struct away as a whole, with its defaults, when nothing that was applied in it is left", () => {
  const live = apply(undefined, thing({ spec: { probe: { path: "/" }, color: "red" } }), "me");
  const defaulted = { ...live, spec: { ...live.spec, probe: { path: "/", periodSeconds: 10 } } };
  assert.deepEqual(apply(defaulted, thing({ spec: { color: "red" } }), "me").spec, { color: "red" });
  const shared = update(
    defaulted,
    { ...defaulted, spec: { ...defaulted.spec, probe: { path: "/", periodSeconds: 5 } } },
    "x",
  );
  assert.deepEqual(apply(shared, thing({ spec: { color: "red" } }), "me").spec, {
    color: "red",
    probe: { periodSeconds: 5 },
  });
});

test("serverSideApply() owns empty maps, but not empty lists of items", () => {
  const made = apply(undefined, thing({ spec: { probe: {}, ports: [], args: [] } }), "me");
  assert.deepEqual(owned(made, "me"), [".spec.args", ".spec.probe"]);
});

test("serverSideApply() changes no time and gives none when only the owners change", () => {
  const first = apply(undefined, thing({ spec: { color: "red" } }), "first");
  const second = apply(first, thing({ spec: { color: "red" } }), "second", { now: "2027-01-01T00:00:00Z" });
  assert.deepEqual(
    second.metadata.managedFields?.map((e) => [e.manager, e.time]),
    [
      ["second", undefined],
      ["first", "2026-01-01T00:00:00Z"],
    ],
  );
});

test("serverSideApply() finds what the manager applied at another version", () => {
  const identity = (apiVersion: string) => ({ identity: { manager: "me", subresource: "", apiVersion } });
  const first = apply(undefined, thing({ spec: { color: "red", replicas: 1 } }), "me", identity("v1beta1"));
  const second = apply(first, thing({ spec: { color: "red" } }), "me", identity("v1"));
  assert.deepEqual(second.spec, { color: "red" });
  assert.deepEqual(
    second.metadata.managedFields?.map((e) => e.apiVersion),
    ["v1"],
  );
});

test("serverSideApply() tells a subresource's manager apart in the conflict", () => {
  const status = { identity: { manager: "kubelet", subresource: "status", apiVersion: "v1" }, resetFields: [["spec"]] };
  const made = apply(undefined, thing({ spec: { color: "red" } }), "me");
  const live = update(
    { ...made, metadata: { ...made.metadata, uid: "u" } },
    { ...made, status: { phase: "Up" } },
    "x",
    status,
  );
  assert.throws(
    () =>
      apply(live, thing({ status: { phase: "Down" } }), "x", {
        ...status,
        identity: { ...status.identity, manager: "x" },
      }),
    {
      message:
        'Apply failed with 1 conflict: conflict with "kubelet" with subresource "status" using v1: .status.phase',
    },
  );
});

const unusable: [name: string, spec: Record<string, unknown>, want: string][] = [
  [
    "an item has no key",
    { ports: [{ name: "x" }], hosts: [{ ip: "1" }] },
    "failed to create typed patch object (/t; /v1, Kind=Thing): .spec.hosts: element 0: associative list with keys has an element " +
      'that omits all key fields ["name"] (and doesn\'t have default values for any key fields)',
  ],
  [
    "several things are wrong",
    { tags: ["a", "a"], ports: [{ port: 1 }, { port: 1, protocol: "TCP" }] },
    "failed to create typed patch object (/t; /v1, Kind=Thing): errors:\n" +
      '  .spec.tags: duplicate entries for key [="a"]\n' +
      '  .spec.ports: duplicate entries for key [port=1,protocol="TCP"]',
  ],
];
for (const [name, spec, want] of unusable) {
  test(`serverSideApply() throws upstream's words when ${name}`, () => {
    assert.throws(
      () => apply(undefined, thing({ spec }), "me"),
      (error) => error instanceof StatusError && error.code === 500 && error.message === want,
    );
  });
}

const annotated = (spec: Record<string, unknown>): Thing => {
  const configuration = thing({ spec });
  const last = `${JSON.stringify(configuration)}\n`;
  return thing({ metadata: { name: "t", uid: "u", annotations: { [LAST_APPLIED_ANNOTATION]: last } }, spec });
};
test("serverSideApply() by kubectl takes over what its client-side apply set, without force, and keeps the annotation true", () => {
  const created = annotated({ color: "red", replicas: 1 });
  const live = update(undefined, created, "kubectl-client-side-apply");
  const after = apply(live, thing({ spec: { color: "blue", replicas: 1 } }), "kubectl");
  assert.deepEqual(after.spec, { color: "blue", replicas: 1 });
  assert.deepEqual(owned(after, "kubectl"), [".spec.color", ".spec.replicas"]);
  assert.equal(
    after.metadata.annotations?.[LAST_APPLIED_ANNOTATION],
    '{"apiVersion":"v1","kind":"Thing","metadata":{"name":"t"},"spec":{"color":"blue","replicas":1}}\n',
  );
  assert.throws(() => apply(live, thing({ spec: { color: "blue" } }), "other"), /Apply failed with 1 conflict/);
});
test("serverSideApply() by kubectl is still refused what somebody changed since", () => {
  const live = update(undefined, annotated({ color: "red", replicas: 1 }), "kubectl-client-side-apply");
  const scaled = update(live, { ...live, spec: { color: "red", replicas: 5 } }, "autoscaler");
  assert.throws(() => apply(scaled, thing({ spec: { color: "blue", replicas: 2 } }), "kubectl"), {
    message: 'Apply failed with 1 conflict: conflict with "autoscaler" using v1: .spec.replicas',
  });
});

test("trackUpdate() renews the writer's time only, and only when it changes something", () => {
  const made = update(undefined, thing({ spec: { color: "red", replicas: 1 } }), "a");
  const live = { ...made, metadata: { ...made.metadata, uid: "u" } };
  const same = update(live, live, "a", { now: "2027-01-01T00:00:00Z" });
  assert.deepEqual(same.metadata.managedFields, live.metadata.managedFields);
  const taken = update(live, { ...live, spec: { color: "red", replicas: 2 } }, "b", { now: "2027-01-01T00:00:00Z" });
  assert.deepEqual(
    taken.metadata.managedFields?.map((e) => [e.manager, e.time]),
    [
      ["a", "2026-01-01T00:00:00Z"],
      ["b", "2027-01-01T00:00:00Z"],
    ],
  );
});

test("trackUpdate() starts from the managedFields that the client sent, as kubectl's migration does", () => {
  const made = update(undefined, thing({ spec: { color: "red" } }), "kubectl-client-side-apply");
  const live = { ...made, metadata: { ...made.metadata, uid: "u" } };
  const [entry] = live.metadata.managedFields ?? [];
  const migrated = [{ ...entry, manager: "kubectl", operation: "Apply" }];
  const after = update(live, { ...live, metadata: { ...live.metadata, managedFields: migrated } }, "kubectl");
  assert.deepEqual(after.metadata.managedFields, migrated);
  const status = { identity: { manager: "kubectl", subresource: "status", apiVersion: "v1" } };
  const ignored = update(live, { ...live, metadata: { ...live.metadata, managedFields: migrated } }, "kubectl", status);
  assert.deepEqual(ignored.metadata.managedFields, live.metadata.managedFields);
});

test("trackUpdate() leaves an object untracked that lost its owners, until the next apply", () => {
  const live = thing({ metadata: { name: "t", uid: "u" }, spec: { color: "red" } });
  const updated = update(live, { ...live, spec: { color: "blue" } }, "a");
  assert.deepEqual(updated.metadata.managedFields, []);
  assert.deepEqual(owned(apply(updated, thing({ spec: { color: "blue" } }), "me"), "me"), [".spec.color"]);
});

test("trackUpdate() neither takes nor gives away what the subresource resets", () => {
  const status = { identity: { manager: "kubelet", subresource: "status", apiVersion: "v1" }, resetFields: [["spec"]] };
  const made = update(undefined, thing({ spec: { color: "red" } }), "a");
  const live = { ...made, metadata: { ...made.metadata, uid: "u" } };
  const up = update(live, { ...live, status: { phase: "Up" } }, "kubelet", status);
  const { status: _status, ...withoutStatus } = up;
  const edited = update(up, { ...withoutStatus, spec: { color: "blue" } }, "b");
  assert.deepEqual(owned(edited, "kubelet", "Update"), [".status", ".status.phase"]);
});

test("trackUpdate() treats items with the same key as one", () => {
  const twice = [
    { port: 1, name: "a" },
    { port: 1, name: "b" },
  ];
  const made = update(undefined, thing({ spec: { ports: twice } }), "a", { empty: { spec: {} } });
  assert.deepEqual(owned(made, "a", "Update"), [".spec.ports", '.spec.ports[port=1,protocol="TCP"]']);
  const live = { ...made, metadata: { ...made.metadata, uid: "u" } };
  const once = update(live, { ...live, spec: { ports: [{ port: 1, name: "b" }] } }, "b");
  assert.deepEqual(owned(once, "b", "Update"), [
    '.spec.ports[port=1,protocol="TCP"].name',
    '.spec.ports[port=1,protocol="TCP"].port',
  ]);
});

test("encodeFieldsV1() orders as upstream: fields, keys by number and text, values", () => {
  const texts = [
    "v:10",
    'v:"a"',
    "v:9",
    'k:{"port":443}',
    'k:{"port":80}',
    "f:b",
    "f:a",
    "i:0",
    'k:{"name":"x"}',
    "v:true",
  ];
  const set = decodeFieldsV1(Object.fromEntries(texts.map((text) => [text, {}])));
  assert.deepEqual(Object.keys(encodeFieldsV1(set)), [
    "f:a",
    "f:b",
    'k:{"name":"x"}',
    'k:{"port":80}',
    'k:{"port":443}',
    "v:9",
    "v:10",
    'v:"a"',
    "v:true",
    "i:0",
  ]);
});
test("decodeFieldsV1() drops elements of unknown kinds and throws for what is no element", () => {
  assert.deepEqual(encodeFieldsV1(decodeFieldsV1({ "z:x": {}, "f:a": {} })), { "f:a": {} });
  assert.throws(() => decodeFieldsV1({ spec: {} }), /^TypeError: missing colon: spec$/);
  assert.throws(() => decodeFieldsV1([]), TypeError);
});
test("sameOwners() looks at who owns what, not since when", () => {
  const made = update(undefined, thing({ spec: { color: "red" } }), "a").metadata.managedFields;
  assert.equal(
    sameOwners(
      made,
      made?.map((e) => ({ ...e, time: "2030-01-01T00:00:00Z" })),
    ),
    true,
  );
  assert.equal(
    sameOwners(
      made,
      made?.map((e) => ({ ...e, fieldsV1: {} })),
    ),
    false,
  );
});

const element = fc.oneof(
  fc.constantFrom("f:a", "f:b", "f:c"),
  fc.constantFrom('k:{"name":"x"}', 'k:{"name":"y"}'),
  fc.constantFrom('v:"s"'),
);
const tree: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  node: fc.dictionary(element, fc.oneof({ maxDepth: 3 }, fc.constant({}), tie("node")), { maxKeys: 3 }),
})).node;

test("decodeFieldsV1() and encodeFieldsV1() are inverse for every set", () => {
  fc.assert(
    fc.property(tree, (fields) => {
      const set = decodeFieldsV1(fields);
      assert.ok(setsEqual(decodeFieldsV1(encodeFieldsV1(set)), set));
    }),
    { verbose: 1 },
  );
});

const configuration = fc.record(
  {
    color: fc.constantFrom("red", "blue"),
    replicas: fc.integer({ min: 0, max: 3 }),
    tags: fc.uniqueArray(fc.constantFrom("a", "b", "c")),
    ports: fc.uniqueArray(fc.constantFrom(80, 81, 82)).map((ports) => ports.map((p) => ({ port: p }))),
  },
  { requiredKeys: [] },
);
test("serverSideApply() by one manager alone always ends in exactly what it applied last", () => {
  fc.assert(
    fc.property(fc.array(configuration, { minLength: 1, maxLength: 4 }), (configurations) => {
      let live: Thing | undefined;
      for (const c of configurations) live = apply(live, thing({ spec: structuredClone(c) }), "me");
      const withoutEmpty = (s: object | undefined) =>
        Object.fromEntries(Object.entries(s ?? {}).filter(([, v]) => !(Array.isArray(v) && v.length === 0)));
      assert.deepEqual(withoutEmpty(live?.spec), withoutEmpty(configurations.at(-1)));
    }),
    { verbose: 1 },
  );
});

test("the laws of sets hold for every two", () => {
  const set = tree.map((fields) => decodeFieldsV1(fields));
  fc.assert(
    fc.property(set, set, (a, b) => {
      const common = intersectionOfSets(a, b);
      assert.ok(setsEqual(unionSets(a, b), unionSets(b, a)));
      assert.ok(setsEqual(unionSets(differenceOfSets(a, b), common), a));
      assert.ok(isEmptySet(intersectionOfSets(differenceOfSets(a, b), b)));
      assert.ok(isEmptySet(recursiveDifference(a, a)));
      const paths = [...pathsOf(a)];
      assert.ok(setsEqual(setOfPaths(paths), a));
      assert.ok(paths.every((path) => hasPath(a, path)));
    }),
    { verbose: 1 },
  );
});
test("nobody owns what is not there after any sequence of applies and updates", () => {
  const step = fc.record({ manager: fc.constantFrom("a", "b"), isApply: fc.boolean(), spec: configuration });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
      let live: Thing | undefined;
      for (const { manager, isApply, spec: wanted } of steps) {
        const sent = thing({ spec: structuredClone(wanted) });
        live = isApply
          ? apply(live, sent, manager, { force: true })
          : update(live, { ...sent, metadata: { ...live?.metadata, name: "t" } }, manager);
        live.metadata.uid = "u";
      }
      const slot = new Slot({ kind: "struct", struct: schema });
      const { added } = compareValues(slot, {}, live);
      for (const entry of live?.metadata.managedFields ?? []) {
        for (const path of pathsOf(decodeFieldsV1(entry.fieldsV1))) {
          assert.ok(hasPath(added, path), `${entry.manager} owns ${formatPath(path)} of ${JSON.stringify(live?.spec)}`);
        }
      }
    }),
    { verbose: 1 },
  );
});
