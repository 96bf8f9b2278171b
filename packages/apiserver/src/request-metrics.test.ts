import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { RequestMetrics } from "./request-metrics.ts";

const of = {
  verb: "GET",
  dryRun: "",
  group: "apps",
  version: "v1",
  resource: "deployments",
  subresource: "",
  scope: "resource",
};

test("record() shows as a counter by code and as a cumulative histogram", async () => {
  const registry = new Registry();
  const metrics = new RequestMetrics(registry);
  metrics.record(of, 200, 0.004);
  metrics.record(of, 200, 0.03);
  metrics.record(of, 404, 100);
  // A watch: counted, but how long it lived says nothing.
  metrics.record({ ...of, verb: "WATCH" }, 200, undefined);
  const lines = (await registry.metrics()).split("\n");
  const numbers = (...parts: readonly string[]) =>
    lines
      .filter((line) => parts.every((part) => line.includes(part)))
      .map((line) => line.slice(line.lastIndexOf(" ") + 1));
  assert.deepEqual(numbers("apiserver_request_total{", 'verb="GET"', 'code="200"', 'resource="deployments"'), ["2"]);
  assert.deepEqual(numbers("apiserver_request_total{", 'verb="GET"', 'code="404"'), ["1"]);
  assert.deepEqual(numbers("apiserver_request_total{", 'verb="WATCH"', 'code="200"'), ["1"]);
  assert.deepEqual(numbers("_seconds_bucket{", 'le="0.005"'), ["1"]);
  assert.deepEqual(numbers("_seconds_bucket{", 'le="0.05"'), ["2"]);
  assert.deepEqual(numbers("_seconds_bucket{", 'le="60"'), ["2"]);
  assert.deepEqual(numbers("_seconds_bucket{", 'le="+Inf"'), ["3"]);
  assert.deepEqual(numbers("_seconds_count{"), ["3"]);
  assert.deepEqual(numbers("_seconds_sum{", 'verb="GET"'), ["100.034"]);
  assert.ok(lines.includes("# TYPE apiserver_request_duration_seconds histogram"));
});
