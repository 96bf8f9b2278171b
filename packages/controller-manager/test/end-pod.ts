/** What a kubelet reports of a pod whose container has ended. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";

/** Succeeded with exit code 0, Failed with any other. */
export async function endPod(client: Client, pod: Pod, exitCode: number): Promise<void> {
  const now = rfc3339Seconds(Date.now());
  const terminated = { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt: now, finishedAt: now };
  const status = {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    containerStatuses: (pod.spec?.containers ?? []).map(({ name, image = "" }) => ({
      name,
      image,
      imageID: "",
      ready: false,
      restartCount: 0,
      state: { terminated },
    })),
  };
  await client.patch(core.pods, keyOf(pod), { type: "merge", body: { status } }, { subresource: "status" });
}
