import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeFieldsV1, encodeFieldsV1, formatPath, pathsOf, setsEqual } from "./field-set.ts";
import { type ApplyOptions, serverSideApply, trackUpdate } from "./managed-fields.ts";
import type { KubeObject } from "./object.ts";
import type { FieldSchema, StructSchema, TypeSchema } from "./schema.ts";
import { StatusError } from "./status-error.ts";
import { mergeApplied } from "./typed-merge.ts";

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
  const after = apply(live, thing({ spec: { color: "red" } }), "me");
  assert.deepEqual(owned(after, "before-first-apply", "Update"), [".spec.color", ".spec.replicas"]);
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
  assert.deepEqual(owned(edited, "creator", "Update"), [".metadata.labels", ".metadata.labels.a", ".spec"]);
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
  const slot = { type: { kind: "struct", struct: spec }, field: undefined } as const;
  const merged = mergeApplied(slot, { tags: ["a", "b", "c", "d"] }, { tags: ["d", "x", "b"] });
  assert.deepEqual(merged, { tags: ["a", "c", "d", "x", "b"] });
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
