/** What patches that can't be read or don't fit are answered with. Source: k8s.io/apiserver handlers/patch.go */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, useApiserver } from "./api-harness.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const h = useApiserver({ prepare: (harness) => harness.create(MAPS, configMap("m", { a: "1" })) });

const types = { json: "json-patch", merge: "merge-patch", strategic: "strategic-merge-patch" } as const;

const patches: readonly [type: keyof typeof types, body: string, code: number, message: RegExp][] = [
  ["json", "[{", 400, /^error decoding patch: unexpected end of JSON input$/],
  [
    "json",
    "{}",
    400,
    /^error decoding patch: json: cannot unmarshal object into Go value of type \[\]handlers.jsonPatchOp$/,
  ],
  [
    "json",
    '[{"op":"test","path":"/data/a","value":"2"}]',
    422,
    /^the server rejected our request due to an error in our/,
  ],
  [
    "json",
    '[{"op":"add","path":"/data/b","value":"2","x":1}]',
    422,
    /: strict decoding error: json patch unknown field "\[0\]\.x"$/,
  ],
  [
    "merge",
    '"x"',
    400,
    /^error decoding patch: json: cannot unmarshal string into Go value of type map\[string\]interface {}$/,
  ],
  ["merge", "null", 400, /^Invalid JSON Patch$/],
  [
    "merge",
    '{"data":{"b":5}}',
    422,
    /^ "" is invalid: patch: Invalid value: "{.*\\"name\\":\\"m\\".*}": json: cannot unmarshal number into/,
  ],
  [
    "merge",
    '{"foo":1,"data":{"b":"1","b":"2"}}',
    422,
    /strict decoding error: duplicate field "data\.b", unknown field "foo"$/,
  ],
  ["merge", '{"metadata":{"uid":"other"}}', 422, /metadata\.uid: Invalid value: "other": field is immutable$/],
  ["strategic", "[]", 400, /^json: cannot unmarshal array into Go value of type map\[string\]interface {}$/],
  [
    "strategic",
    '{"data":{"b":5}}',
    422,
    /^ "" is invalid: patch: Invalid value: "map\[data:map\[b:5\]\]": cannot convert int64 to string$/,
  ],
  ["strategic", '{"data":["b"]}', 422, /: patch: Invalid value: "map\[data:\[b\]\]": cannot restore map from slice$/],
  ["strategic", '{"immutable":"x"}', 422, /: patch: Invalid value: "map\[immutable:x\]": unrecognized type: bool$/],
];

for (const [type, body, code, message] of patches) {
  test(`a ${type} patch of ${body} is refused`, async () => {
    const headers = { "content-type": `application/${types[type]}+json` };
    const answer = await h.call("PATCH", `${MAPS}/m?fieldValidation=Strict`, { body, headers });
    assert.equal(answer.status, code);
    assert.match(answer.body.message, message);
  });
}

const bodies: readonly [body: string, summary: string][] = [
  ["", "<empty>"],
  ['{"kind":', '{"kind":'],
  [`{"kind":"${"x".repeat(40)}`, `{"kind":"${"x".repeat(21)} ...`],
  ["[1]", "5b315d"],
];

for (const [body, summary] of bodies) {
  test(`a body that says nothing is shown: ${summary}`, async () => {
    const headers = { "content-type": "application/json" };
    const { status, body: answer } = await h.call("POST", MAPS, { body, headers });
    assert.equal(status, 400);
    assert.ok(answer.message.endsWith(` (${summary})`), answer.message);
  });
}
