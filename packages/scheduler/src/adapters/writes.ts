/** The plugins' writes, against the API. */
import { core } from "@knarr/api/generated/resources.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";
import type { PluginWrites } from "../plugins/plugin-handle.ts";

/** How long the request that binds may take before the pod is tried anew. */
const BIND_TIMEOUT_MS = 30_000;

export function apiWrites(client: Client): PluginWrites {
  return {
    async bind(pod, nodeName, signal) {
      const key = keyOf(pod);
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        // The uid keeps a binding meant for a deleted pod from landing on its successor of the same name.
        metadata: { namespace: key.namespace, name: key.name, uid: pod.metadata.uid },
        target: { kind: "Node", name: nodeName },
      };
      await client.createSubresource(core.pods, key, "binding", binding, { signal, timeoutMs: BIND_TIMEOUT_MS });
    },
    updateVolume: (volume, signal) => client.update(core.persistentvolumes, volume, { signal }),
    updateClaim: (claim, signal) => client.update(core.persistentvolumeclaims, claim, { signal }),
  };
}
