import assert from "node:assert/strict";
import { test } from "node:test";
import { kindSchema } from "@knarr/api/schema.ts";
import { decodeMessage, openEnvelope } from "./decode.ts";
import { WireError } from "./wire.ts";
import { WireWriter } from "./writer.ts";

const message = () => new WireWriter();
const schemaOf = (kind: string) => {
  const schema = kindSchema("", "v1", kind);
  assert.ok(schema);
  return schema;
};
const seconds = (value: number) => Buffer.from([8, ...varint(value)]);
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

test("openEnvelope() reads kind, version and object when the prefix is there", () => {
  const raw = message().string(1, "x").finish();
  const body = Buffer.concat([
    Buffer.from("k8s\0"),
    message().message(1, message().string(1, "v1").string(2, "ConfigMap")).bytes(2, raw).finish(),
  ]);
  assert.deepEqual(openEnvelope(body), { apiVersion: "v1", kind: "ConfigMap", raw });
});

test("openEnvelope() throws WireError when the prefix is missing or the body is cut", () => {
  assert.throws(() => openEnvelope(Buffer.from("{}")), WireError);
  assert.throws(() => openEnvelope(Buffer.concat([Buffer.from("k8s\0"), Buffer.from([0x0a, 0x7f])])), WireError);
});

test("decodeMessage() reads maps, bytes and times when given a Secret", () => {
  const meta = message().string(1, "s").bytes(8, seconds(1_767_225_600));
  const entry = message()
    .string(1, "k")
    .bytes(2, Buffer.from([1, 2, 3]));
  const bytes = message().message(1, meta).message(2, entry).string(3, "Opaque").finish();
  assert.deepEqual(decodeMessage(bytes, schemaOf("Secret")), {
    metadata: { name: "s", creationTimestamp: "2026-01-01T00:00:00Z" },
    data: { k: "AQID" },
    type: "Opaque",
  });
});

test("decodeMessage() lifts embedded messages when given a Pod's volumes", () => {
  const volume = message()
    .string(1, "v")
    .message(2, message().message(19, message().message(1, message().string(1, "cm"))));
  const bytes = message().message(2, message().message(1, volume)).finish();
  const pod = decodeMessage(bytes, schemaOf("Pod")) as { spec: { volumes: unknown[] } };
  assert.deepEqual(pod.spec.volumes, [{ name: "v", configMap: { name: "cm" } }]);
});

test("decodeMessage() skips fields that it does not know", () => {
  const bytes = message().string(999, "future").message(1, message().string(1, "s")).finish();
  assert.deepEqual(decodeMessage(bytes, schemaOf("Secret")), { metadata: { name: "s" } });
});
