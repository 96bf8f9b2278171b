/** The newest unmodified kubectl at hand. Throws where there is none: a test without it would show nothing. */
import { access, constants } from "node:fs/promises";

const PATHS = ["/usr/local/lib/knarr/bin/kubectl-1.36"];

export async function newestKubectl(): Promise<string> {
  for (const path of [...(process.env.KNARR_KUBECTL === undefined ? [] : [process.env.KNARR_KUBECTL]), ...PATHS]) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not here; the next place may have it.
    }
  }
  throw new Error(`no kubectl at ${PATHS.join(", ")}: run scripts/install-deps --test`);
}
