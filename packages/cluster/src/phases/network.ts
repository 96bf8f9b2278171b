/** Bridge, namespaces, veths, rules. */
import { applyHostNetwork } from "../network.ts";
import type { Phase } from "./phase.ts";

export const network: Phase = {
  name: "network",
  run: ({ config }) => applyHostNetwork(config),
};
