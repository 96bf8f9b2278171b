/**
 * Manual pages of the daemons from their own flag tables: `npm run generate:man` writes docs/man/NAME.8, with --check it
 * only compares. `man -l docs/man/kubelet.8` shows one.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parseHelp, renderManPage } from "./man/man-page.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
/** Packages with a main.ts that takes flags. */
const DAEMONS = [
  "apiserver",
  "cluster-dns",
  "controller-manager",
  "kube-proxy",
  "kubelet",
  "local-path",
  "pod-network",
  "scheduler",
];

const checkOnly = process.argv.includes("--check");
const stale: string[] = [];
await mkdir(`${root}/docs/man`, { recursive: true });
for (const daemon of DAEMONS) {
  const main = `${root}/packages/${daemon}/src/main.ts`;
  const { stdout } = await run(process.execPath, ["--disable-warning=ExperimentalWarning", main, "--help"]);
  const help = parseHelp(stdout);
  const file = `docs/man/${help.name}.8`;
  const page = renderManPage(help, `packages/${daemon}/README.md`);
  if (!checkOnly) await writeFile(`${root}/${file}`, page);
  else if ((await readFile(`${root}/${file}`, "utf8").catch(() => "")) !== page) stale.push(file); // not written yet
}
if (stale.length > 0) {
  process.stderr.write(`out of date: ${stale.join(", ")}; "npm run generate:man" writes them\n`);
  process.exitCode = 1;
}
