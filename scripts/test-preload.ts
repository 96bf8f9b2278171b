/**
 * Loaded before every test file (--import of run-tests.ts):
 * - fast-check gets one seed for all properties in place of a new one in every run, for the gate must answer the same of the
 *   same code. `KNARR_SEED=random` lets every run look elsewhere, `KNARR_SEED=12` brings a run back.
 * - The file's process ends at its time limit. The runner's limit ends a test, and waits for the process of its file; one
 *   socket or timer that is left open after a test was given up would hold up all that follow.
 */
import { writeSync } from "node:fs";
import { registerHooks } from "node:module";

const SEED = 20_261_121;
const given = process.env.KNARR_SEED ?? String(SEED);

if (given !== "random") {
  const seed = Number(given);
  if (!Number.isInteger(seed)) throw new Error(`KNARR_SEED must be an integer or "random", not ${given}`);
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      // The package's entry: it alone has the settings that all its users share.
      if (!/\/fast-check\/lib\/fast-check\.js$/.test(url)) return loaded;
      return { ...loaded, source: `${String(loaded.source)}\nconfigureGlobal({ seed: ${seed} });\n` };
    },
  });
}

const limitMs = Number(process.env.KNARR_TEST_FILE_LIMIT_MS ?? 0);
// The runner loads this, too; only the files' processes have a context.
if (process.env.NODE_TEST_CONTEXT !== undefined && limitMs > 0) {
  // Not for the daemons that the file starts.
  delete process.env.KNARR_TEST_FILE_LIMIT_MS;
  setTimeout(() => {
    const open = [...new Set(process.getActiveResourcesInfo())].join(", ");
    writeSync(2, `${process.argv[1]}: not ended after ${limitMs / 1000} s; what is open: ${open}\n`);
    process.exit(1);
  }, limitMs).unref();
}
