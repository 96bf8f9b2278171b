/** Waits until every node is Ready and its pods have a range. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import { type Phase, READY_TIMEOUT_MS } from "./phase.ts";

export const ready: Phase = {
  name: "ready",
  async run({ config, paths, signal, note }) {
    const client = new Client(await loadKubeconfig({ path: paths.adminKubeconfig }));
    const deadlineMs = systemClock.monotonicMs() + READY_TIMEOUT_MS;
    try {
      for (;;) {
        const { items } = await client.list(core.nodes, { signal });
        const waiting = config.nodes.flatMap(({ name }) =>
          complaintOf(
            name,
            items.find((n) => n.metadata.name === name),
          ),
        );
        if (waiting.length === 0) return;
        note(waiting.join("; "));
        if (systemClock.monotonicMs() > deadlineMs)
          throw new Error(`not ready after ${READY_TIMEOUT_MS / 1000} s: ${waiting.join("; ")}`);
        await systemClock.sleep(100, signal);
      }
    } finally {
      client.close();
    }
  },
};

function complaintOf(name: string, node: Node | undefined): string[] {
  if (node === undefined) return [`${name} has not registered`];
  const condition = node.status?.conditions?.find((c) => c.type === "Ready");
  return condition?.status === "True"
    ? []
    : [`${name}: ${condition?.message ?? condition?.reason ?? "no Ready condition"}`];
}
