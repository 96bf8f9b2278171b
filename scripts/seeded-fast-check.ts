/**
 * fast-check with one seed for all properties, in place of a new one in every run: the gate must answer the same of the same
 * code. `KNARR_SEED=random` lets every run look elsewhere, `KNARR_SEED=12` brings a run back.
 *
 * Loaded before the tests with --import (run-tests.ts).
 */
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
