/** Where the daemons' sources are. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** These sources' own root; the packed command line has none, so KNARR_HOME may name a checkout. */
export const projectRoot = process.env.KNARR_HOME ?? fileURLToPath(new URL("../../..", import.meta.url));

/** Throws where there is nothing to run, which is so for the command line's npm package on its own. */
export function requireDaemons(): void {
  if (existsSync(join(projectRoot, "packages/apiserver/src/main.ts"))) return;
  throw new Error(
    "a local cluster needs Knarr's daemons, which this package does not hold: clone the repository and run its scripts/up, or let KNARR_HOME name a checkout",
  );
}
