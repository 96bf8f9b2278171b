import { resolve } from "node:path";
import type { CliContext } from "./verb.ts";

export const DEFAULT_DATA_DIR = "/var/lib/knarr";

/** Where the local cluster lives: --data-dir, else KNARR_DATA_DIR, else the default. */
export function dataDirOf(options: { readonly dataDir?: string }, context: CliContext): string {
  return resolve(options.dataDir ?? context.env.KNARR_DATA_DIR ?? DEFAULT_DATA_DIR);
}
