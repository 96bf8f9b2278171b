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
  {
    ...{ name: "a timeout without a unit", method: "GET", path: `${CMS}?timeout=5`, code: 400, reason: "BadRequest" },
    message: 'invalid timeout specified in the request URL - time: missing unit in duration "5"',
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

const TEXT = "404 page not found\n";
const NOWHERE = "the server could not find the requested resource";
const NO_METHOD = "the server does not allow this method on the requested resource";
/** Method (GET if absent), path, code, and the Status' message or the plain text. Source: k8s.io/apiserver/pkg/server/handler.go */
const paths: readonly (readonly [string, number, string])[] = [
  // Below an API that is served, a Status.
  ["/api/v2", 404, NOWHERE],
  ["/api/v1/nothing", 404, NOWHERE],
  ["/api/v1//pods", 404, NOWHERE],
  ["/api/v1/pods/odd", 404, NOWHERE],
  ["/api/v1/namespaces/default/namespaces/default2", 404, NOWHERE],
  ["/api/v1/namespaces/default/pods/odd/log/more", 404, NOWHERE],
  ["/api/v1/namespaces/default/pods/odd%2Fnothing", 404, NOWHERE],
  ["/apis/apps/v2", 404, NOWHERE],
  ["/apis/apps/v1beta1/deployments", 404, NOWHERE],
  ["/version/more", 404, NOWHERE],
  // Everywhere else, text.
  ["/nothing", 404, TEXT],
  ["//api/v1/pods", 404, TEXT],
  ["/apis/nothing.example", 404, TEXT],
  ["/apis/nothing.example/v1", 404, TEXT],
  ["/apis/nothing.example/v1/things", 404, TEXT],
  ["/apisapps/v1", 404, TEXT],
  ["/healthz/", 404, TEXT],
  ["/healthz/nothing", 404, TEXT],
  ["/metrics/", 404, TEXT],
  ["/metrics/more", 404, TEXT],
  ["/openapi/v4", 404, TEXT],
  ["/openapi/v3/apis/nothing/v1", 404, TEXT],
  ["/debug/nothing", 404, TEXT],
  ["/api/v1/namespaces/%zz/pods", 400, "400 Bad Request: invalid URL escape\n"],
  // Slashes at the end, and an empty namespace, which is all of them.
  ["/api/", 200, ""],
  ["/apis/apps/v1/", 200, ""],
  ["/version/", 200, ""],
  ["/api/v1/namespaces/default/pods//", 200, ""],
  ["/api/v1/namespaces//pods", 200, ""],
  ["/index.html", 200, ""],
  // Methods that a path does not have.
  ["HEAD /api/v1/namespaces", 405, ""],
  ["HEAD /api/v1/namespaces/default", 405, ""],
  ["HEAD /healthz", 200, ""],
  ["PUT /api/v1/namespaces", 405, NO_METHOD],
  ["POST /api/v1/pods", 405, NO_METHOD],
  ["DELETE /api/v1/pods", 405, NO_METHOD],
  ["POST /apis/apps/v1", 405, NO_METHOD],
  ["PUT /version", 405, NO_METHOD],
  ["DELETE /api/v1/namespaces", 405, NO_METHOD],
];
for (const [asked, code, text] of paths) {
  test(`${asked} answers ${code}`, async () => {
    const [path = "", method = "GET"] = asked.split(" ").reverse();
    const answer = await h.call(method, path, method === "POST" || method === "PUT" ? { body: {} } : {});
    assert.equal(answer.status, code, answer.text);
    if (text === "") return;
    if (text.endsWith("\n")) {
      assert.deepEqual([answer.text, answer.headers["content-type"]?.split(";")[0]], [text, "text/plain"]);
    } else {
      const { kind, message, details, reason } = answer.body;
      const want = {
        kind: "Status",
        message: text,
        details: {},
        reason: code === 404 ? "NotFound" : "MethodNotAllowed",
      };
      assert.deepEqual({ kind, message, details, reason }, want);
    }
  });
}

test("GET / and /version are indented, for people", async () => {
  assert.match((await h.call("GET", "/version")).text, /^{\n {2}"major": "1",\n {2}"minor": "36",\n/);
  assert.match((await h.call("GET", "/")).text, /^{\n {2}"paths": \[\n {4}"\/.well-known\/openid-configuration",\n/);
});
