/**
 * The image of the container that holds a pod's namespaces, made on the spot: no registry needs to be reachable for a
 * cluster to start.
 */
import type { ImageSpec } from "./image-archive.ts";
import { pauseBinary } from "./pause-binary.ts";

export const PAUSE_IMAGE = "knarr.local/pause:3.10";

/** The program is x86-64 machine code; elsewhere containerd's configured sandbox image has to be a public one. */
export function pauseImage(): ImageSpec {
  return {
    name: PAUSE_IMAGE,
    files: [{ type: "file", path: "pause", mode: 0o755, data: pauseBinary() }],
    entrypoint: ["/pause"],
    user: "65535:65535",
  };
}
