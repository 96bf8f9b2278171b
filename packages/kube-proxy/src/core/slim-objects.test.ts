import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import { endpointOn, flows, planOptions } from "../testing/flow-table.ts";
import { endpointsOf, servicePortsOf } from "./service-port.ts";
import { SERVICE_NAME, slimService, slimSlice, TRIGGER_TIME } from "./slim-objects.ts";

test("slimService() and slimSlice() keep all that rules are made of", () => {
  for (const { view } of flows) {
    const ports = servicePortsOf(view.service, "ipv4");
    assert.deepEqual(servicePortsOf(slimService(view.service), "ipv4"), ports);
    for (const port of ports) {
      const slim = endpointsOf(view.slices.map(slimSlice), port, planOptions);
      assert.deepEqual(slim, endpointsOf(view.slices, port, planOptions));
    }
  }
});

test("slimService() drops what is no one's business here", () => {
  const service: Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      namespace: "a",
      name: "b",
      resourceVersion: "7",
      labels: { x: "y" },
      annotations: { z: "long" },
    },
    spec: { clusterIP: "10.96.0.1", selector: { app: "x" }, ports: [{ port: 80, appProtocol: "h2c" }] },
    status: { loadBalancer: {}, conditions: [] },
  };
  assert.deepEqual(slimService(service), {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "a", name: "b", resourceVersion: "7" },
    spec: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] },
  });
});

test("slimSlice() keeps the Service's name and the time of the change, and shares what is the same", () => {
  const slice = (pod: "podA" | "podB"): EndpointSlice => ({
    metadata: {
      namespace: "a",
      name: "b-1",
      labels: { [SERVICE_NAME]: "b", other: "c" },
      annotations: { [TRIGGER_TIME]: "2026-01-01T00:00:00Z", other: "d" },
    },
    addressType: "IPv4",
    endpoints: [endpointOn(pod, { targetRef: { kind: "Pod", name: pod }, zone: "z" })],
    ports: null as never,
  });
  const first = slimSlice(slice("podA"));
  const second = slimSlice(slice("podB"));
  assert.deepEqual(first.metadata.labels, { [SERVICE_NAME]: "b" });
  assert.deepEqual(first.metadata.annotations, { [TRIGGER_TIME]: "2026-01-01T00:00:00Z" });
  assert.deepEqual(Object.keys(first.endpoints?.[0] ?? {}).sort(), ["addresses", "conditions", "nodeName"]);
  assert.equal(first.endpoints?.[0]?.conditions, second.endpoints?.[0]?.conditions);
});
