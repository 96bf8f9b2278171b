/** Requests that no good client sends, and what upstream answers to them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, type Json, useApiserver } from "./api-harness.ts";

const CMS = "/api/v1/namespaces/default/configmaps";
const h = useApiserver({ prepare: (api) => api.create(CMS, configMap("odd", { k: "v" })) });
const JSON_TYPE = "application/json";

interface Row {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly code: number;
  readonly reason?: string;
  readonly message?: string | RegExp;
}

const rows: readonly Row[] = [
  ...[
    ["abc", "invalid syntax"],
    ["99999999999999999999", "value out of range"],
  ].flatMap(([text, why]) =>
    [`${CMS}?limit=${text}`, `${CMS}?watch=1&timeoutSeconds=${text}`].map((path) => ({
      ...{ name: `${path} is no integer`, method: "GET", path, code: 400, reason: "BadRequest" },
      message: `strconv.ParseInt: parsing "${text}": ${why}`,
    })),
  ),
  { name: "negative limit is no limit", method: "GET", path: `${CMS}?limit=-1`, code: 200 },
  { name: "negative timeout ends at once", method: "GET", path: `${CMS}?watch=1&timeoutSeconds=-3`, code: 200 },
  {
    ...{ name: "name with a slash", method: "GET", path: `${CMS}/a%2Fb`, code: 400, reason: "BadRequest" },
    message: "Name parameter invalid: \"a/b\": may not contain '/'",
  },
  {
    ...{ name: "name that is no name", method: "DELETE", path: `${CMS}/%2e%2e`, code: 400, reason: "BadRequest" },
    message: "Name parameter invalid: \"..\": may not be '..'",
  },
  {
    ...{ name: "an array", method: "POST", path: CMS, body: "[]", code: 400 },
    message: /json: cannot unmarshal array into Go value of type struct/,
  },
  {
    ...{ name: "null", method: "POST", path: CMS, body: "null", code: 422 },
    message: /name or generateName is required/,
  },
  {
    ...{ name: "a manager that can't be printed", method: "PATCH", path: `${CMS}/odd?fieldManager=x%00`, body: "{}" },
    ...{ contentType: "application/merge-patch+json", code: 422, reason: "Invalid" },
    message: /fieldManager: Invalid value: "x\\x00": invalid character U\+0000 \(at position 1\)/,
  },
  {
    ...{ name: "another object's uid", method: "PUT", path: `${CMS}/odd`, code: 409, reason: "Conflict" },
    body: JSON.stringify({ metadata: { name: "odd", uid: "other" } }),
    message:
      /StorageError: invalid object, Code: 4, Key: \/registry\/configmaps\/default\/odd, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other/,
  },
  {
    ...{ name: "force without an apply", method: "PATCH", path: `${CMS}/odd?force=true`, body: "{}", code: 422 },
    contentType: "application/merge-patch+json",
    message: /force: Forbidden: may not be specified for non-apply patch/,
  },
  {
    ...{ name: "an apply without apiVersion", method: "PATCH", path: `${CMS}/odd?fieldManager=x`, code: 400 },
    ...{ body: '{"kind":"ConfigMap","metadata":{"name":"odd"}}', contentType: "application/apply-patch+yaml" },
    message: "Incorrect version specified in apply patch. Specified patch version: , expected: v1",
  },
  {
    ...{ name: "a patch of unknown type", method: "PATCH", path: `${CMS}/odd`, body: "{}", code: 415 },
    reason: "UnsupportedMediaType",
  },
  ...["POST", "PUT", "PATCH", "OPTIONS"].map((method) => ({
    ...{ name: `${method} where it makes no sense`, method, code: 405, reason: "MethodNotAllowed" },
    ...{ path: method === "POST" ? `${CMS}/odd` : CMS, ...(method === "OPTIONS" ? {} : { body: "{}" }) },
    message: "the server does not allow this method on the requested resource",
  })),
  ...[
    `${CMS}/odd/nothing`,
    `${CMS}/odd/status`,
    "/api/v2/pods",
    "/apis/apps/v1/pods",
    "/api/v1/namespaces/default/nodes",
  ].map((path) => ({
    ...{ name: `${path} is nowhere`, method: "GET", path, code: 404, reason: "NotFound" },
    message: "the server could not find the requested resource",
  })),
];

for (const row of rows) {
  test(`${row.method} answers ${row.code}: ${row.name}`, async () => {
    const answer = await h.call(row.method, row.path, {
      ...(row.body === undefined ? {} : { body: row.body, headers: { "content-type": row.contentType ?? JSON_TYPE } }),
    });
    assert.equal(answer.status, row.code, answer.text);
    const { reason, message } = (row.code >= 400 ? answer.body : {}) as Json;
    if (row.reason !== undefined) assert.equal(reason, row.reason);
    if (typeof row.message === "string") assert.equal(message, row.message);
    else if (row.message !== undefined) assert.match(message, row.message);
  });
}
