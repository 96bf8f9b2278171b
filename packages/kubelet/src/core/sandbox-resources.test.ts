import assert from "node:assert/strict";
import test from "node:test";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { sandboxResources } from "./sandbox-resources.ts";
import { container, pod } from "./testing.ts";

const MI = 2 ** 20;
type Amounts = Record<string, string>;
const asks = (requests: Amounts, limits: Amounts, more = {}) => ({ resources: { requests, limits }, ...more });
const sized = (cpuShares: number, cpuQuota: number, memoryMi = 0) => ({
  cpuShares,
  cpuQuota,
  cpuPeriod: 100_000,
  ...(memoryMi === 0 ? {} : { memoryLimitInBytes: memoryMi * MI }),
});

const rows: { name: string; pod: Pod; want: object; overhead?: object }[] = [
  { name: "nothing is asked for", pod: pod(), want: sized(2, 0) },
  {
    name: "containers run together",
    pod: pod({
      containers: [
        container("a", asks({ cpu: "500m" }, { cpu: "1", memory: "100Mi" })),
        container("b", asks({ cpu: "250m" }, { cpu: "500m", memory: "50Mi" })),
      ],
    }),
    want: sized(768, 150_000, 150),
  },
  {
    name: "only a limit is given",
    pod: pod({ containers: [container("a", { resources: { limits: { cpu: "1" } } })] }),
    want: sized(1024, 100_000),
  },
  {
    name: "an init container needs more than all others, beside a sidecar",
    pod: pod({
      initContainers: [
        container("side", asks({ cpu: "100m" }, { memory: "10Mi" }, { restartPolicy: "Always" })),
        container("first", asks({ cpu: "900m" }, { memory: "300Mi" })),
      ],
      containers: [container("a", asks({ cpu: "500m" }, { memory: "100Mi" }))],
    }),
    want: sized(1024, 0, 310),
  },
  {
    name: "the pod as a whole is limited",
    pod: pod({ resources: { requests: { cpu: "2" }, limits: { cpu: "2", memory: "1Gi" } } }),
    want: sized(2048, 200_000, 1024),
  },
  {
    name: "the runtime takes something itself",
    pod: pod({
      overhead: { cpu: "250m", memory: "64Mi" },
      containers: [container("a", asks({ cpu: "500m" }, { cpu: "500m" }))],
    }),
    want: sized(512, 50_000),
    overhead: sized(256, 25_000, 64),
  },
];
for (const row of rows) {
  test(`sandboxResources() sums a pod up when ${row.name}`, () => {
    assert.deepEqual(sandboxResources(row.pod), { resources: row.want, overhead: row.overhead ?? {} });
  });
}
