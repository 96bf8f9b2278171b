/** Round trips through a reader of the test's own, and one document as gnostic itself writes it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { allKinds } from "@knarr/api/kinds/index.ts";
import { servedGroups } from "../discovery/groups.ts";
import { WireReader } from "../protobuf/wire.ts";
import { resourceMetricsKinds } from "../resource-metrics/resource-metrics.ts";
import { encodeDocument, type Messages, Wrapper } from "./document-encoder.ts";
import { addVersion, documentV2, documentV3, pathOf, SERVER_DOCUMENTS } from "./documents.ts";
import type { Json } from "./schemas.ts";
import { V2_MESSAGES } from "./v2-messages.ts";
import { V3_MESSAGES } from "./v3-messages.ts";

const groups = servedGroups([...allKinds, ...resourceMetricsKinds]);

/** Reads what the encoder wrote; fails for a field that the tables don't have. */
class DocumentDecoder {
  readonly #messages: Messages;

  constructor(messages: Messages) {
    this.#messages = messages;
  }

  message(type: string, bytes: Buffer): unknown {
    const message = this.#messages[type];
    assert.ok(message, type);
    const wrapped = message instanceof Wrapper;
    const fields = Object.entries(wrapped ? message.fields : message);
    const reader = new WireReader(bytes);
    const object: Json = {};
    while (!reader.done) {
      const { number } = reader.tag();
      const [name, [, holds]] = fields.find(([, field]) => field[0] === number) ?? assert.fail(`${type} ${number}`);
      if (name === "*" || name === "x-*") this.#named(object, reader.bytes(), holds);
      else if (holds.endsWith("[]")) {
        object[name] = [...((object[name] ?? []) as unknown[]), this.#value(reader, holds.slice(0, -2))];
      } else object[name] = this.#value(reader, holds);
    }
    if (!wrapped) return object;
    const values = Object.values(object);
    assert.ok(values.length <= 1, type);
    return values.length === 1 ? values[0] : fields.every(([, [, holds]]) => holds.endsWith("[]")) ? [] : {};
  }

  #named(object: Json, bytes: Buffer, type: string): void {
    const reader = new WireReader(bytes);
    assert.equal(reader.tag().number, 1);
    const name = reader.bytes().toString();
    assert.equal(reader.tag().number, 2);
    object[name] = this.#value(reader, type);
    assert.ok(reader.done);
  }

  #value(reader: WireReader, type: string): unknown {
    switch (type) {
      case "string":
        return reader.bytes().toString();
      case "bool":
        return reader.integer() === 1;
      case "double":
        return reader.double();
      case "any": {
        const inner = new WireReader(reader.bytes());
        assert.equal(inner.tag().number, 2);
        return JSON.parse(inner.bytes().toString());
      }
      default:
        return this.message(type, reader.bytes());
    }
  }
}

const decode = (messages: Messages, bytes: Buffer) => new DocumentDecoder(messages).message("Document", bytes);

/** What proto3 does not write: a field's false and a list without entries. */
function withoutZeros(document: Json): Json {
  return JSON.parse(JSON.stringify(document), (key, value) =>
    (key === "required" && value === false) || (key === "parameters" && value.length === 0) ? undefined : value,
  );
}

test("encodeDocument() keeps every path, operation, parameter, schema and extension when given the v2 document", () => {
  const document = documentV2(groups);
  assert.deepEqual(decode(V2_MESSAGES, encodeDocument(V2_MESSAGES, document)), withoutZeros(document));
});

for (const served of groups.flatMap(({ versions }) => versions)) {
  test(`encodeDocument() keeps everything when given the v3 document of ${pathOf(served)}`, () => {
    const document = documentV3((builder) => addVersion(builder, served));
    assert.deepEqual(decode(V3_MESSAGES, encodeDocument(V3_MESSAGES, document)), withoutZeros(document));
  });
}

for (const [path, add] of Object.entries(SERVER_DOCUMENTS)) {
  test(`encodeDocument() keeps everything when given the v3 document of ${path}`, () => {
    const document = documentV3(add);
    assert.deepEqual(decode(V3_MESSAGES, encodeDocument(V3_MESSAGES, document)), withoutZeros(document));
  });
}

test("encodeDocument() throws when a document holds what the tables lack, and never leaves it out", () => {
  for (const document of [{ nothing: 1 }, { info: { "x-y": 1 } }, { paths: { "/": { trace: {} } } }]) {
    assert.throws(() => encodeDocument(V3_MESSAGES, document), TypeError);
  }
});

const sample: Json = {
  openapi: "3.0.0",
  info: { title: "t", version: "v" },
  paths: {
    "/p/{n}": {
      ...Object.fromEntries(
        ["get", "put", "post", "delete", "patch"].map((m) => [
          m,
          { operationId: m, tags: ["a"], responses: { "200": { description: "OK" } } },
        ]),
      ),
      patch: {
        operationId: "patch",
        tags: ["a", "b"],
        parameters: [{ name: "q", in: "query", schema: { type: "string", uniqueItems: true } }],
        requestBody: { required: true, content: { "a/b": { schema: { $ref: "#/components/schemas/S" } } } },
        responses: { "200": { description: "OK", content: { "a/b": { schema: { type: "string" } } } } },
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": { group: "g", kind: "K", version: "v1" },
      },
      parameters: [{ name: "n", in: "path", required: true, schema: { type: "string" } }],
    },
  },
  components: {
    schemas: {
      S: {
        description: "d",
        type: "object",
        required: ["a"],
        properties: {
          a: { allOf: [{ $ref: "#/components/schemas/S" }], default: {} },
          b: { type: "boolean", default: false },
          i: { type: "integer", format: "int32", default: 0 },
          n: { type: "number", default: 1.5 },
          s: { type: "string", default: "", enum: ["A", "B"] },
          e: { type: "string", default: "x" },
          l: {
            type: "array",
            items: { type: "string" },
            "x-kubernetes-list-map-keys": ["k"],
            "x-kubernetes-list-type": "map",
          },
          m: { type: "object", additionalProperties: { oneOf: [{ type: "integer" }, { type: "string" }] } },
        },
      },
    },
    securitySchemes: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
  },
  security: [{ BearerToken: [] }],
};

/** gnostic's own bytes of it, each Any as JSON. Made with ParseDocument() of gnostic-models openapiv3. */
const GNOSTIC = `
CgUzLjAuMBIGCgF0MgF2Io4DCosDCgYvcC97bn0SgAMiGQoBYSoDZ2V0Qg8SDQoDMjAwEgYKBAoCT0sqGQoBYSoDcHV0Qg8SDQoDMjAwEgYKBAoCT0sy
GgoBYSoEcG9zdEIPEg0KAzIwMBIGCgQKAk9LOhwKAWEqBmRlbGV0ZUIPEg0KAzIwMBIGCgQKAk9LUvEBCgFhCgFiKgVwYXRjaDIcChoKAXESBXF1ZXJ5
Ug4KDKABAcoBBnN0cmluZzorCikSJQojCgNhL2ISHAoaEhgKFiMvY29tcG9uZW50cy9zY2hlbWFzL1MYAUInEiUKAzIwMBIeChwKAk9LGhYKFAoDYS9i
Eg0KCwoJygEGc3RyaW5naiAKE3gta3ViZXJuZXRlcy1hY3Rpb24SCRIHInBhdGNoImpMCh94LWt1YmVybmV0ZXMtZ3JvdXAtdmVyc2lvbi1raW5kEikS
J3siZ3JvdXAiOiJnIiwia2luZCI6IksiLCJ2ZXJzaW9uIjoidjEifWoaChgKAW4SBHBhdGggAVILCgnKAQZzdHJpbmcqwAMKiQMKhgMKAVMSgAMK/QK6
AQFhygEGb2JqZWN0+gHoAgonCgFhEiIKINIBGhIYChYjL2NvbXBvbmVudHMvc2NoZW1hcy9TigIAChYKAWISEQoPygEHYm9vbGVhbooCAhAACiUKAWkS
IAoeygEHaW50ZWdlcooCCQkAAAAAAAAAAJoCBWludDMyChwKAW4SFwoVygEGbnVtYmVyigIJCQAAAAAAAPg/CiUKAXMSIAoewgEFEgMiQSLCAQUSAyJC
IsoBBnN0cmluZ4oCAhoAChYKAWUSEQoPygEGc3RyaW5nigIDGgF4CmsKAWwSZgpkygEFYXJyYXnyAQ0KCwoJygEGc3RyaW5nogIlChp4LWt1YmVybmV0
ZXMtbGlzdC1tYXAta2V5cxIHEgVbImsiXaICIQoWeC1rdWJlcm5ldGVzLWxpc3QtdHlwZRIHEgUibWFwIgo0CgFtEi8KLcoBBm9iamVjdIICIQofCh3a
AQwKCsoBB2ludGVnZXLaAQsKCcoBBnN0cmluZ5ICAWQ6MgowCgtCZWFyZXJUb2tlbhIhCh8KBmFwaUtleRoNYXV0aG9yaXphdGlvbiIGaGVhZGVyMhEK
DwoLQmVhcmVyVG9rZW4SAA==`;

test("encodeDocument() writes the fields that gnostic writes", () => {
  assert.deepEqual(decode(V3_MESSAGES, Buffer.from(GNOSTIC, "base64")), sample);
  assert.deepEqual(decode(V3_MESSAGES, encodeDocument(V3_MESSAGES, sample)), sample);
  assert.equal(encodeDocument(V3_MESSAGES, sample).length, Buffer.from(GNOSTIC, "base64").length);
});
