import assert from "node:assert/strict";
import test from "node:test";
import type { Container, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import { type NodeSwap, swapLimit } from "./swap.ts";
import { container, pod } from "./testing.ts";

const GI = 2 ** 30;
const memory = (request?: string, limit?: string): Container =>
  container("a", {
    resources: {
      ...(request === undefined ? {} : { requests: { memory: request } }),
      ...(limit === undefined ? {} : { limits: { memory: limit } }),
    },
  });

interface Row {
  readonly name: string;
  readonly container: Container;
  readonly spec?: Partial<PodSpec>;
  readonly version?: 1 | 2;
  readonly limit?: number;
  readonly node?: Partial<NodeSwap>;
  readonly want: object;
}

const rows: Row[] = [
  { name: "a quarter of the node's memory is asked for", container: memory("2Gi"), want: { swapMaxBytes: GI } },
  { name: "the limit is above the request", container: memory("2Gi", "3Gi"), want: { swapMaxBytes: GI } },
  { name: "the request is the limit", container: memory("2Gi", "2Gi"), want: { swapMaxBytes: 0 } },
  { name: "only a limit is given", container: memory(undefined, "2Gi"), want: { swapMaxBytes: 0 } },
  { name: "nothing is asked for", container: container("a"), want: { swapMaxBytes: 0 } },
  {
    name: "another container makes the pod burstable",
    container: container("a"),
    spec: { containers: [container("a"), { ...memory("1Gi"), name: "b" }] },
    want: { swapMaxBytes: 0 },
  },
  { name: "the pod is critical", container: memory("2Gi"), spec: { priority: 2e9 }, want: { swapMaxBytes: 0 } },
  { name: "the node has no swap", container: memory("2Gi"), node: { swapBytes: 0 }, want: { swapMaxBytes: 0 } },
  { name: "pods get none", container: memory("2Gi"), node: { behavior: "NoSwap" }, want: { swapMaxBytes: 0 } },
  { name: "the kernel does not count swap", container: memory("2Gi"), node: { controller: false }, want: {} },
  {
    name: "cgroups are v1",
    container: memory("2Gi", "3Gi"),
    version: 1,
    limit: 3 * GI,
    want: { memorySwapBytes: 3 * GI },
  },
];
for (const row of rows) {
  test(`swapLimit() is ${JSON.stringify(row.want)} when ${row.name}`, () => {
    const input = {
      pod: pod({ containers: [row.container], ...row.spec }),
      container: row.container,
      cgroupVersion: row.version ?? 2,
      nodeMemoryBytes: 8 * GI,
      memoryLimitBytes: row.limit ?? 0,
    } as const;
    const node = { behavior: "LimitedSwap", controller: true, swapBytes: 4 * GI, ...row.node } as const;
    assert.deepEqual(swapLimit(input, node), row.want);
  });
}
