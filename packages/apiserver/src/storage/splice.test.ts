import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ObjectRecord } from "./record.ts";
import { locateMetadata, spliceFrame } from "./splice.ts";

const rows: readonly { name: string; stored: string; served: string }[] = [
  {
    name: "the usual object",
    stored: '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}',
    served: '{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"},"spec":{}}',
  },
  {
    name: "metadata first",
    stored: '{"metadata":{"name":"a"}}',
    served: '{"metadata":{"resourceVersion":"7","name":"a"}}',
  },
  {
    name: "empty metadata",
    stored: '{"kind":"X","metadata":{}}',
    served: '{"kind":"X","metadata":{"resourceVersion":"7"}}',
  },
  {
    name: "metadata after a member that looks like it",
    stored: '{"spec":{"metadata":{"x":"}\\""}},"data":["metadata",{"metadata":{}}],"metadata":{"name":"a"}}',
    served:
      '{"spec":{"metadata":{"x":"}\\""}},"data":["metadata",{"metadata":{}}],"metadata":{"resourceVersion":"7","name":"a"}}',
  },
  {
    name: "white space and a final newline",
    stored: '{ "kind" : "Pod",\n "metadata" : { "name" : "a" } }\n',
    served: '{ "kind" : "Pod",\n "metadata" : {"resourceVersion":"7", "name" : "a" } }',
  },
  {
    name: "a version that should not be there, first",
    stored: '{"metadata":{"resourceVersion":"3","name":"a"}}',
    served: '{"metadata":{"resourceVersion":"7","name":"a"}}',
  },
  {
    name: "a version that should not be there, last",
    stored: '{"metadata":{"name":"a","resourceVersion":"3"}}',
    served: '{"metadata":{"resourceVersion":"7","name":"a"}}',
  },
  {
    name: "a version that should not be there, alone",
    stored: '{"metadata":{"resourceVersion":"3"}}',
    served: '{"metadata":{"resourceVersion":"7"}}',
  },
  {
    name: "versions of other objects, which stay",
    stored: '{"metadata":{"name":"a"},"involvedObject":{"resourceVersion":"3"}}',
    served: '{"metadata":{"resourceVersion":"7","name":"a"},"involvedObject":{"resourceVersion":"3"}}',
  },
  {
    name: "numbers and escapes as they are",
    stored: '{"metadata":{"name":"a"},"n":9007199254740993,"f":1.0,"u":"\\u00e9é"}',
    served: '{"metadata":{"resourceVersion":"7","name":"a"},"n":9007199254740993,"f":1.0,"u":"\\u00e9é"}',
  },
];
for (const row of rows) {
  test(`spliceFrame() serves ${row.name}`, () => {
    const { frame, bytes } = spliceFrame(Buffer.from(row.stored), 7, "ADDED");
    assert.equal(bytes.toString(), row.served);
    assert.equal(frame.toString(), `{"type":"ADDED","object":${row.served}}\n`);
    assert.equal(JSON.parse(bytes.toString()).metadata.resourceVersion, "7");
  });
}

for (const text of ["", "{}", "[]", "nonsense", '{"metadata":[]}', '{"a":"unterminated}']) {
  test(`locateMetadata() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => locateMetadata(Buffer.from(text)), { code: "internal" });
  });
}

test("locateMetadata() is not hurt by depth", () => {
  const deep = `{"spec":${"[".repeat(100_000)}${"]".repeat(100_000)},"metadata":{"name":"a"}}`;
  assert.equal(locateMetadata(Buffer.from(deep)).isEmpty, false);
});

describe("ObjectRecord", () => {
  const format = { prefix: "/registry/pods/", namespaced: true, fieldsOf: () => ({ "spec.nodeName": "n1" }) };
  const stored = Buffer.from('{"metadata":{"name":"web","labels":{"app":"web"}}}');
  const record = new ObjectRecord(format, { storeKey: "/registry/pods/ns/web", revision: 5 }, stored, "ADDED");

  test("knows its key, its stored form and whether another is the same", () => {
    assert.deepEqual(record.key, { namespace: "ns", name: "web" });
    assert.deepEqual(record.stored(), stored);
    assert.equal(record.holds(stored), true);
    assert.equal(record.holds(Buffer.from('{"metadata":{"name":"wed","labels":{"app":"web"}}}')), false);
    assert.equal(record.holds(record.bytes), false);
  });
  test("shows itself under another revision", () => {
    const gone = record.at(123, "DELETED");
    assert.equal(
      gone.frame.toString(),
      `{"type":"DELETED","object":${record.bytes.toString().replace('"5"', '"123"')}}\n`,
    );
  });
  test("has labels and fields for selectors", () => {
    assert.deepEqual(record.attributes(), {
      labels: { app: "web" },
      fields: { "metadata.name": "web", "metadata.namespace": "ns", "spec.nodeName": "n1" },
    });
  });
});
