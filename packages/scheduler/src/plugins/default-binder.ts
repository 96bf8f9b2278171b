/** DefaultBinder: posts the Binding. Source: plugins/defaultbinder */

import { core } from "@knarr/api/generated/resources.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { type BindPlugin, Code } from "../core/framework.ts";

const name = "DefaultBinder";

export function defaultBinder(client: Client): BindPlugin {
  return {
    name,
    async bind(pod, nodeName, signal) {
      const key = keyOf(pod);
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        // The uid keeps a binding meant for a deleted pod from landing on its successor of the same name.
        metadata: { namespace: key.namespace, name: key.name, uid: pod.metadata.uid },
        target: { kind: "Node", name: nodeName },
      };
      try {
        await client.createSubresource(core.pods, key, "binding", binding, { signal });
        return undefined;
      } catch (error) {
        if (!(error instanceof StatusError) && !(error instanceof Error)) throw error;
        return { code: Code.Error, reasons: [error.message], plugin: name };
      }
    },
  };
}
