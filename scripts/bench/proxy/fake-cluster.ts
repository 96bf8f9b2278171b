/**
 * An API server as far as kube-proxy and cluster-dns look: lists and watches of Services, EndpointSlices and so on, from memory. So
 * many Services that making them in a real one would take most of the benchmark's time.
 */
import { writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Service } from "../../../packages/api/src/generated/types/core-v1.ts";
import type { EndpointSlice } from "../../../packages/api/src/generated/types/discovery-v1.ts";

export const ENDPOINTS = 3;

/** "10.96.0.0" and on: one per Service. */
export function clusterIpOf(index: number): string {
  return `10.${96 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

export function serviceOf(index: number): Service {
  const clusterIP = clusterIpOf(index);
  return {
    metadata: { namespace: "bench", name: `web-${index}`, uid: `${index}`, resourceVersion: "1" },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }],
    },
  };
}

/** `port` tells one version of a slice from another; the pods are on another node but for `local`. */
export function sliceOf(index: number, port: number, addresses?: readonly string[]): EndpointSlice {
  const pods = addresses ?? Array.from({ length: ENDPOINTS }, (_, i) => `10.${128 + i}.${index >> 8}.${index & 255}`);
  return {
    metadata: {
      namespace: "bench",
      name: `web-${index}-1`,
      resourceVersion: String(port),
      labels: { "kubernetes.io/service-name": `web-${index}` },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port, protocol: "TCP" }],
    endpoints: pods.map((address) => ({
      addresses: [address],
      nodeName: "node-2",
      conditions: { ready: true, serving: true, terminating: false },
    })),
  };
}

/** It asks for nobody's name, but the daemons want a file. */
export function writeKubeconfig(server: string, path: string): string {
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "bench", cluster: { server } }],
    contexts: [{ name: "bench", context: { cluster: "bench", user: "bench" } }],
    users: [{ name: "bench", user: {} }],
    "current-context": "bench",
  };
  writeFileSync(path, JSON.stringify(content));
  return path;
}

export interface FakeCluster {
  readonly url: string;
  /** Sends a changed slice to whoever watches. */
  sendSlice(slice: EndpointSlice): void;
  stop(): Promise<void>;
}

export async function startFakeCluster(services: number): Promise<FakeCluster> {
  const all = Array.from({ length: services }, (_, i) => i);
  const node = { metadata: { name: "node-1", resourceVersion: "1" }, status: { addresses: [] } };
  const lists: Readonly<Record<string, () => readonly unknown[]>> = {
    "/api/v1/services": () => all.map(serviceOf),
    "/apis/discovery.k8s.io/v1/endpointslices": () => all.map((i) => sliceOf(i, 8080)),
    "/api/v1/nodes": () => [node],
    "/api/v1/namespaces": () => [{ metadata: { name: "bench", resourceVersion: "1" } }],
  };
  const watchers = new Map<string, Set<ServerResponse>>();
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://bench");
    const list = lists[pathname];
    response.writeHead(list === undefined ? 404 : 200, { "content-type": "application/json" });
    if (list === undefined) {
      response.end(
        JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 }),
      );
    } else if (searchParams.get("watch") === null || searchParams.get("watch") === "false") {
      response.end(
        JSON.stringify({ kind: "List", apiVersion: "v1", metadata: { resourceVersion: "1" }, items: list() }),
      );
    } else {
      response.flushHeaders();
      if (searchParams.get("sendInitialEvents") === "true") sendInitialEvents(response, pathname, list());
      const set = watchers.get(pathname) ?? new Set();
      watchers.set(pathname, set.add(response));
      response.on("close", () => set.delete(response));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sendSlice: (object) => {
      const line = `${JSON.stringify({ type: "MODIFIED", object })}\n`;
      for (const watcher of watchers.get("/apis/discovery.k8s.io/v1/endpointslices") ?? []) watcher.write(line);
    },
    stop: async () => {
      const closed = new Promise<unknown>((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function sendInitialEvents(response: ServerResponse, pathname: string, items: readonly unknown[]): void {
  for (const object of items) response.write(`${JSON.stringify({ type: "ADDED", object })}\n`);
  const kinds: Readonly<Record<string, string>> = {
    "/api/v1/services": "Service",
    "/apis/discovery.k8s.io/v1/endpointslices": "EndpointSlice",
    "/api/v1/nodes": "Node",
    "/api/v1/namespaces": "Namespace",
  };
  const object = {
    kind: kinds[pathname],
    apiVersion: pathname.startsWith("/apis/") ? pathname.split("/").slice(2, 4).join("/") : "v1",
    metadata: { resourceVersion: "1", annotations: { "k8s.io/initial-events-end": "true" } },
  };
  response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
}
