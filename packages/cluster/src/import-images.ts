/** Image archives into a node's runtime, where the kubelet finds them. */
import { systemClock } from "@knarr/daemon/clock.ts";
import type { NodeRuntime } from "./cluster-config.ts";
import { loadIntoEngine } from "./load-into-engine.ts";
import type { NodePaths } from "./paths.ts";
import { CommandError, runCommand } from "./run-command.ts";
import type { Tools } from "./tools.ts";

const TRIES = 20;

export interface ImportOptions {
  readonly tools: Tools;
  readonly socket: string;
  readonly signal: AbortSignal;
}

/** What loads an archive into the node with these folders. */
export function imageLoader(
  runtime: NodeRuntime,
  files: NodePaths,
  { tools, signal }: { readonly tools: Tools; readonly signal: AbortSignal },
): (archive: string) => Promise<void> {
  if (runtime === "docker") return (archive) => loadIntoEngine(archive, { socket: files.dockerSocket, signal });
  return (archive) => importImage(archive, { tools, socket: files.containerdSocket, signal });
}

/** The image service may come up a moment after the socket does, so the first failures are tried again. */
export async function importImage(archive: string, { tools, socket, signal }: ImportOptions): Promise<void> {
  const command = [tools.ctr, "--address", socket, "--namespace", "k8s.io", "images", "import", archive];
  for (let attempt = 1; ; attempt++) {
    try {
      await runCommand(command, { signal, timeoutMs: 120_000 });
      return;
    } catch (error) {
      if (!(error instanceof CommandError) || attempt >= TRIES) throw error;
      await systemClock.sleep(250, signal);
    }
  }
}

/** Names of the images that a node has. */
export async function imagesOf({ tools, socket, signal }: ImportOptions): Promise<ReadonlySet<string>> {
  const text = await runCommand([tools.ctr, "--address", socket, "--namespace", "k8s.io", "images", "list", "-q"], {
    signal,
  });
  return new Set(text.split("\n").filter((line) => line !== ""));
}
