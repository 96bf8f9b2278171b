/** Makes Deployments until the cluster runs so many pods, and waits for them and for quiet. */
import { setTimeout as sleep } from "node:timers/promises";
import { apps, core } from "../../../packages/api/src/generated/resources.ts";
import type { Client } from "../../../packages/client/src/client.ts";
import { listAll } from "../../../packages/client/src/list-all.ts";

const DEADLINE_MS = 180_000;

export async function fillUp(client: Client, pods: number): Promise<void> {
  const { items } = await listAll(client, core.pods);
  const missing = pods - items.length;
  if (missing > 0) {
    const labels = { app: "fill" };
    const spec = { containers: [{ name: "c", image: "registry.example/app:1" }] };
    await client.create(apps.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { namespace: "default", name: "fill" },
      spec: { replicas: missing, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    });
  }
  for (const deadline = performance.now() + DEADLINE_MS; performance.now() < deadline; await sleep(500)) {
    const now = await listAll(client, core.pods, { fieldSelector: "status.phase=Running" });
    if (now.items.length >= pods) break;
  }
  // What changed is still being counted and told.
  await sleep(10_000);
}
