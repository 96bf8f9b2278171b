/** Objects of our own in the API. */
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { applyAddons } from "../addons.ts";
import type { Phase } from "./phase.ts";

export const addons: Phase = {
  name: "addons",
  async run({ config, paths, signal }) {
    const client = new Client(await loadKubeconfig({ path: paths.adminKubeconfig }));
    try {
      await applyAddons(client, config, signal);
    } finally {
      client.close();
    }
  },
};
