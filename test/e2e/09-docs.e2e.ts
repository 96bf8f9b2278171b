/** The commands that README.md shows under "Five minutes", as they stand there, against the cluster under test. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dataDir, knarr, kubeconfig, nodeAddresses } from "./lib/cluster.ts";
import { projectRoot, run } from "./lib/run.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-docs-"));
  await symlink(join(projectRoot, "scripts/knarr"), join(folder, "knarr"));
});
after(async () => {
  await knarr(["delete", "-f", "examples/web.yaml", "--ignore-not-found"]);
  await rm(folder, { recursive: true, force: true });
});

/** Lines that would start or end a cluster: the one under test is there already and stays. */
const NOT_HERE = /^(scripts\/up|export KUBECONFIG=|knarr down)/;

test("the commands of the README's first five minutes work as they stand", async () => {
  const readme = await readFile(join(projectRoot, "README.md"), "utf8");
  const section = /^## Five minutes\n(.*?)^## /ms.exec(readme)?.[1] ?? "";
  const commands = [...section.matchAll(/^ {4}(\S.*)$/gm)]
    .map(([, line = ""]) => line)
    .filter((l) => !NOT_HERE.test(l));
  assert.ok(commands.length >= 5, `only ${commands.length} commands found`);
  const [node] = await nodeAddresses();
  for (const command of commands) {
    // The addresses that the README shows are those of a machine's first cluster.
    const line = command.replaceAll("172.30.0.11", node?.ip ?? "");
    const env = { KUBECONFIG: kubeconfig, KNARR_DATA_DIR: dataDir, PATH: `${folder}:${process.env.PATH}` };
    let { code, stdout, stderr } = await run("bash", ["-c", line], { env });
    // A Service's rules are there a moment after its pods are ready, figures half a minute after the nodes: who types
    // this is slower than a test.
    for (const deadline = performance.now() + 240_000; code !== 0 && /^curl |^knarr top | wget /.test(line); ) {
      assert.ok(performance.now() < deadline, `${line}\n${stdout}${stderr}`);
      ({ code, stdout, stderr } = await run("bash", ["-c", line], { env }));
    }
    assert.equal(code, 0, `${line}\n${stdout}${stderr}`);
    assert.notEqual(stdout, "", line);
  }
});
