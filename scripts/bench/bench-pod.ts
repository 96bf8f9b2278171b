/** The pod that the load creates and reads: what people deploy, brought to an exact size by an annotation. */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";

/** As the API server serves it, with defaults, token volume and managed fields. */
export const POD_BYTES = 3300;

/** Nobody schedules it, so that the load stays the API's alone; controllers and the scheduler still watch it. */
export function benchPod(name: string, namespace: string, padding: number): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: { "app.kubernetes.io/name": "bench", "app.kubernetes.io/component": "load" },
      annotations: { "bench.knarr.local/padding": "x".repeat(padding) },
    },
    spec: {
      schedulerName: "nobody",
      containers: [
        {
          name: "main",
          image: "registry.example.com/team/service:1.42.0",
          args: ["--listen=:8080", "--log-level=info"],
          ports: [{ name: "http", containerPort: 8080 }],
          env: [{ name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
          resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "256Mi" } },
          readinessProbe: { httpGet: { path: "/readyz", port: "http" } },
        },
      ],
    },
  };
}
