/**
 * Bundles the command line into packages/cli/dist: what `npm pack` ships, so that it needs no other package and no
 * TypeScript. Verbs stay files of their own that are read when asked for. Run by the package's prepack.
 */
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const outdir = `${root}/packages/cli/dist`;
await rm(outdir, { recursive: true, force: true });

/**
 * Node's own modules through process.getBuiltinModule: an `import` of node:http reads all its exports, and with one of
 * them loads all of undici, which costs more than a whole `knarr get pods`.
 */
const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: "builtin" }));
    onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: "js",
    }));
  },
};
const { metafile, warnings } = await build({
  entryPoints: [`${root}/packages/cli/src/main.ts`],
  outdir,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.16",
  minify: true,
  // Names of classes and functions stand in errors.
  keepNames: true,
  metafile: true,
  plugins: [lazyBuiltins],
  legalComments: "none",
  // commander is CommonJS and calls require() for Node's own modules.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  logLevel: "warning",
});
if (warnings.length > 0) process.exitCode = 1;
const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
console.log(`packages/cli/dist: ${Object.keys(metafile.outputs).length} files, ${Math.round(bytes / 1024)} KiB`);
