import assert from "node:assert/strict";
import { test } from "node:test";
import { rewriteLinks } from "./rewrite-links.ts";

const P = "/api/v1/namespaces/a/pods/p/proxy";
for (const [name, html, want] of [
  ["leads absolute links through the proxy", '<a href="/x">', `<a href="${P}/x">`],
  ["leaves relative links alone", '<a href="x">', '<a href="x">'],
  ["leaves other hosts alone", '<img src="//cdn/x.png">', '<img src="//cdn/x.png">'],
  ["does not lead them twice", `<a href="${P}/x">`, `<a href="${P}/x">`],
  ["keeps single quotes", "<form action='/go'>", `<form action='${P}/go'>`],
] as const) {
  test(`rewriteLinks() ${name}`, () => assert.equal(rewriteLinks(html, P), want));
}
