/** How long the command line takes from its start to its end, beside kubectl, by hyperfine. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const KUBECTL = "/usr/local/lib/knarr/bin/kubectl-1.36";

export interface CommandTime {
  readonly name: string;
  readonly meanMs: number;
  readonly stddevMs: number;
}

export async function measureCommands(kubeconfig: string): Promise<readonly CommandTime[]> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-bench-start-"));
  try {
    await run(process.execPath, ["scripts/bundle-cli.ts"], { cwd: root });
    const report = join(folder, "report.json");
    const bundled = `${process.execPath} ${root}/packages/cli/bin/knarr.js`;
    const words = `get pods -A --kubeconfig ${kubeconfig}`;
    const commands: readonly (readonly [name: string, command: string])[] = [
      ["node -e 0 (floor)", `${process.execPath} -e 0`],
      ["knarr version --client (bundle)", `${bundled} version --client`],
      ["knarr get pods -A (bundle)", `${bundled} ${words}`],
      ["knarr get pods -A (sources)", `${root}/scripts/knarr ${words}`],
      ["kubectl 1.36 get pods -A", `${KUBECTL} ${words}`],
    ];
    const flags = ["-N", "--warmup", "5", "--runs", "20", "--export-json", report];
    await run("hyperfine", [...flags, ...commands.map(([, command]) => command)], { timeout: 300_000 });
    const { results } = JSON.parse(await readFile(report, "utf8")) as { results: { mean: number; stddev: number }[] };
    return results.map((r, i) => ({ name: commands[i]?.[0] ?? "", meanMs: r.mean * 1000, stddevMs: r.stddev * 1000 }));
  } finally {
    await rm(folder, { recursive: true, force: true });
    await rm(join(root, "packages/cli/dist"), { recursive: true, force: true });
  }
}
