import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestInfo } from "./request-info.ts";

const rows: { name: string; method: string; url: string; want: Record<string, unknown> }[] = [
  {
    name: "lists a namespaced collection",
    method: "GET",
    url: "/api/v1/namespaces/a/pods",
    want: { verb: "list", namespace: "a", resource: "pods" },
  },
  {
    name: "knows a collection in a namespace that is named like it",
    method: "POST",
    url: "/api/v1/namespaces/pods/pods",
    want: { verb: "create", namespace: "pods", resource: "pods", name: "", pathName: "" },
  },
  {
    name: "lists across namespaces with a trailing slash",
    method: "GET",
    url: "/api/v1/pods/",
    want: { verb: "list", namespace: "", resource: "pods" },
  },
  {
    name: "gets a subresource of a group",
    method: "GET",
    url: "/apis/apps/v1/namespaces/a/deployments/d/scale",
    want: { verb: "get", group: "apps", name: "d", subresource: "scale" },
  },
  { name: "watches by query", method: "GET", url: "/api/v1/pods?watch=1", want: { verb: "watch" } },
  { name: "does not watch when it says false", method: "GET", url: "/api/v1/pods?watch=false", want: { verb: "list" } },
  {
    name: "watches by the old path",
    method: "GET",
    url: "/api/v1/watch/namespaces/a/pods",
    want: { verb: "watch", namespace: "a", resource: "pods" },
  },
  {
    name: "takes the name from a field selector",
    method: "GET",
    url: "/api/v1/secrets?fieldSelector=metadata.name%3Dx",
    want: { verb: "list", name: "x" },
  },
  {
    name: "takes a namespace for itself",
    method: "DELETE",
    url: "/api/v1/namespaces/a",
    want: { verb: "delete", resource: "namespaces", name: "a", namespace: "a" },
  },
  {
    name: "knows a namespace's own subresources",
    method: "PUT",
    url: "/api/v1/namespaces/a/finalize",
    want: { verb: "update", resource: "namespaces", name: "a", subresource: "finalize" },
  },
  {
    name: "deletes a collection",
    method: "DELETE",
    url: "/api/v1/namespaces/a/pods",
    want: { verb: "deletecollection" },
  },
  {
    name: "keeps the rest of a proxied path",
    method: "GET",
    url: "/api/v1/namespaces/a/services/s:http/proxy/x%2Fy/z/",
    want: { subresource: "proxy", name: "s:http", rest: "/x%2Fy/z/" },
  },
  {
    name: "sees the slash after proxy",
    method: "GET",
    url: "/api/v1/nodes/n/proxy/",
    want: { subresource: "proxy", rest: "/" },
  },
  {
    name: "sees no slash after proxy",
    method: "GET",
    url: "/api/v1/nodes/n/proxy",
    want: { subresource: "proxy", rest: "" },
  },
  {
    name: "takes discovery for no resource",
    method: "GET",
    url: "/apis/apps/v1",
    want: { isResourceRequest: false, verb: "get", path: "/apis/apps/v1" },
  },
  { name: "takes health for no resource", method: "GET", url: "/healthz", want: { isResourceRequest: false } },
];
for (const { name, method, url, want } of rows) {
  test(`parseRequestInfo() ${name}`, () => {
    const [path = "", query = ""] = url.split("?");
    const info = parseRequestInfo(method, path, new URLSearchParams(query)) as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(want)) assert.equal(info[key], value, key);
  });
}

test("parseRequestInfo() throws URIError when an escape is broken", () => {
  assert.throws(() => parseRequestInfo("GET", "/api/v1/namespaces/%zz/pods", new URLSearchParams()), URIError);
});
