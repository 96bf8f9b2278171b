/** DefaultBinder: posts the Binding. Source: plugins/defaultbinder */
import { failure, type Plugin } from "../core/framework.ts";
import type { PluginFactory } from "./plugin-handle.ts";

const name = "DefaultBinder";

export const defaultBinder: PluginFactory = (_args, { writes }): Plugin => ({
  name,
  async bind(pod, nodeName, signal) {
    try {
      await writes.bind(pod, nodeName, signal);
      return undefined;
    } catch (error) {
      // Whatever went wrong, the pod is not bound as far as we know: it is tried again after back-off.
      return failure(name, error);
    }
  },
});
