/** Builds the test images, starts one two-node cluster for all e2e files and takes it down at the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImageArchive } from "@knarr/cluster/images/image-archive.ts";
import { testImages } from "@knarr/testkit/images/test-images.ts";
import { dataDir, knarr } from "./cluster.ts";

const usesRunningCluster = process.env.KNARR_E2E_DATA_DIR !== undefined;

export async function globalSetup(): Promise<void> {
  if (usesRunningCluster) return;
  const images = await mkdtemp(join(tmpdir(), "knarr-e2e-images-"));
  try {
    const archives: string[] = [];
    for (const spec of await testImages()) archives.push(await buildImageArchive(spec, images));
    const load = archives.flatMap((archive) => ["--load-image", archive]);
    const started = performance.now();
    await knarr(["up", "--nodes", "2", "--data-dir", dataDir, ...load], { timeoutMs: 300_000 });
    process.stderr.write(`e2e cluster up after ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  } catch (error) {
    await knarr(["down", "--data-dir", dataDir], { timeoutMs: 300_000 });
    throw error;
  } finally {
    await rm(images, { recursive: true, force: true });
  }
}

export async function globalTeardown(): Promise<void> {
  if (usesRunningCluster) return;
  await knarr(["down", "--purge", "--data-dir", dataDir], { timeoutMs: 300_000 });
}
