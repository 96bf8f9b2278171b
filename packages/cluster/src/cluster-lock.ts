/**
 * One command at a time changes a cluster. The lock is an abstract Unix socket: the kernel frees it when its holder
 * ends, however it ends, so none is ever left behind.
 */
import { createServer, type Server } from "node:net";

/** Another command holds the cluster. */
export class ClusterBusyError extends Error {
  constructor(dataDir: string) {
    super(`another knarr command is changing the cluster in ${dataDir}; wait until it ends`);
    this.name = "ClusterBusyError";
  }
}

function listen(name: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(name, () => resolve(server));
  });
}

/** Runs `change` while no other process on this machine does so for the same folder. Throws ClusterBusyError. */
export async function withClusterLock<T>(dataDir: string, change: () => Promise<T>): Promise<T> {
  let server: Server;
  try {
    server = await listen(`\0knarr-change:${dataDir}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") throw new ClusterBusyError(dataDir);
    throw error;
  }
  try {
    return await change();
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
