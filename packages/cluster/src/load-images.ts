/** Image archives into the runtimes of all nodes that run, side by side. */
import { access, constants } from "node:fs/promises";
import { imageLoader } from "./import-images.ts";
import { readCluster } from "./load-cluster.ts";
import { clusterPaths } from "./paths.ts";
import { findTools } from "./tools.ts";

export interface LoadOptions {
  readonly dataDir: string;
  readonly archives: readonly string[];
  /** All when empty. */
  readonly nodes: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Called as each archive comes to each node. */
  readonly loaded: (archive: string, node: string, done: number, total: number) => void;
}

/** Throws for a missing archive or node before anything is loaded, then with every node that failed. */
export async function loadImages(options: LoadOptions): Promise<void> {
  const { dataDir, archives, signal } = options;
  const config = await readCluster(dataDir);
  if (config === undefined) throw new Error(`no cluster in ${dataDir}; "knarr up" makes one`);
  const known = config.nodes.map(({ name }) => name);
  const unknown = options.nodes.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`no node ${unknown.join(", ")}: must be one of ${known.join(", ")}`);
  for (const archive of archives) {
    await access(archive, constants.R_OK).catch((cause: unknown) => {
      throw new Error(`the image archive ${archive} can't be read; "docker save -o FILE IMAGE" makes one`, { cause });
    });
  }
  const nodes = options.nodes.length === 0 ? known : options.nodes;
  const tools = await findTools({ dataDir, env: options.env, runtime: config.runtime });
  const paths = clusterPaths(dataDir);
  const total = nodes.length * archives.length;
  let done = 0;
  const outcomes = await Promise.allSettled(
    nodes.map(async (node) => {
      const files = paths.node(node);
      const socket = config.runtime === "docker" ? files.dockerSocket : files.containerdSocket;
      await access(socket).catch((cause: unknown) => {
        throw new Error(`${node} does not run; "knarr node start ${node}" starts it`, { cause });
      });
      const load = imageLoader(config.runtime, files, { tools, signal });
      for (const archive of archives) {
        await load(archive);
        options.loaded(archive, node, ++done, total);
      }
    }),
  );
  const failures = outcomes.flatMap((o, i) => (o.status === "rejected" ? [`${nodes[i]}: ${o.reason.message}`] : []));
  if (failures.length > 0) throw new Error(failures.join("\n"));
}
