/** etcd, the API server and those that only need it. */
import { waitUntilHealthy } from "../health.ts";
import { askSupervisor } from "../supervisor/protocol.ts";
import { type Phase, READY_TIMEOUT_MS } from "./phase.ts";

const start = (name: string, pick: (component: string) => boolean): Phase => ({
  name,
  async run({ controlPlane, paths, signal, note }) {
    const components = controlPlane.filter((spec) => pick(spec.name));
    await askSupervisor(paths.supervisorSocket, { op: "start", components }, 60_000);
    for (const spec of components) {
      note(spec.name);
      await waitUntilHealthy(spec, READY_TIMEOUT_MS, signal);
    }
  },
});

export const etcd = start("etcd", (name) => name === "etcd");
export const apiserver = start("apiserver", (name) => name === "apiserver");
export const controllers = start("controllers", (name) => name !== "etcd" && name !== "apiserver");
