/**
 * Preloaded (`node --import`) into a run of the guest's test that does nothing but load: tells at exit, one line each, the
 * files that were loaded, which are what the guest needs. Test equipment.
 */
import { registerHooks } from "node:module";

const urls = new Set<string>();
registerHooks({
  load: (url, context, next) => {
    if (url.startsWith("file:")) urls.add(url);
    return next(url, context);
  },
});
process.once("exit", () => process.stdout.write(`${[...urls].join("\n")}\n`));
