/** Each node's folder, runtime, images and daemons; nodes come up side by side. */
import { cgroupOf } from "../components.ts";
import { waitUntilHealthy } from "../health.ts";
import { buildImageArchive } from "../images/image-archive.ts";
import { PAUSE_IMAGE, pauseImage } from "../images/pause-image.ts";
import { imageLoader, imagesOf } from "../import-images.ts";
import { applyNodeFiles } from "../node-files.ts";
import { findResolvers } from "../resolvers.ts";
import { askSupervisor } from "../supervisor/protocol.ts";
import { type Phase, type PhaseContext, READY_TIMEOUT_MS } from "./phase.ts";

export const nodes: Phase = {
  name: "nodes",
  async run(context) {
    const resolvers = await findResolvers();
    const pause = await buildImageArchive(pauseImage(), context.paths.images);
    await Promise.all(context.config.nodes.map((_node, index) => startNode(context, index, resolvers, pause)));
  },
};

async function startNode(
  context: PhaseContext,
  index: number,
  resolvers: readonly string[],
  pause: string,
): Promise<void> {
  const { config, paths, tools, signal, note } = context;
  const node = config.nodes[index];
  const plan = context.nodes[index];
  if (node === undefined || plan === undefined) return;
  const files = paths.node(node.name);
  await applyNodeFiles({
    ...{ paths: files, tools, runtime: config.runtime, sandboxImage: PAUSE_IMAGE },
    ...{ resolvers, cgroup: cgroupOf(config, node) },
  });
  const [runtime, ...daemons] = plan.components;
  if (runtime === undefined) return;
  const start = (components: typeof daemons) =>
    askSupervisor(paths.supervisorSocket, { op: "start", components }, 60_000);
  await start([runtime]);
  await waitUntilHealthy(runtime, READY_TIMEOUT_MS, signal);
  note(`${node.name} runtime`);
  const load = imageLoader(config.runtime, files, { tools, signal });
  // The sandbox image must be there before the first pod; what users load may come beside the daemons.
  await load(pause);
  await start(daemons);
  if (context.loadImages.length > 0) {
    for (const archive of context.loadImages) await load(archive);
    if (config.runtime === "containerd") await imagesOf({ tools, socket: files.containerdSocket, signal });
  }
  for (const spec of daemons) await waitUntilHealthy(spec, READY_TIMEOUT_MS, signal);
  note(node.name);
}
