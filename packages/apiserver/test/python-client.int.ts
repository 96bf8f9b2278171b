/** Python's official client, as Debian packages it (python3-kubernetes), against a real API server. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { useApiserver } from "./api-harness.ts";

const run = promisify(execFile);
const h = useApiserver();
const script = fileURLToPath(new URL("./clients/python-client.py", import.meta.url));
const installed = existsSync("/usr/lib/python3/dist-packages/kubernetes");
// scripts/install-deps --test brings it; on CI its absence is a failure.
const skip = installed || process.env.CI !== undefined ? false : "no python3-kubernetes";

test("python-client.py finds every answer as it should be", { skip }, async (context) => {
  // Where it keeps what it discovered, for good.
  const folder = await mkdtemp(join(tmpdir(), "knarr-python-"));
  context.after(() => rm(folder, { recursive: true }));
  const env = { ...process.env, TMPDIR: folder };
  const { stdout } = await run("/usr/bin/python3", [script, h.api.kubeconfig], { env, timeout: 120_000 });
  for (const line of stdout.trim().split("\n")) context.diagnostic(line);
});
