/** The container runtime of a test: containerd, or Docker Engine where KNARR_TEST_RUNTIME says so (docker.int.ts). */
import { PAUSE_IMAGE } from "@knarr/cluster/images/pause-image.ts";
import { type StartContainerdOptions, startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { startDockerd } from "@knarr/testkit/start-dockerd.ts";

export const RUNTIME = process.env.KNARR_TEST_RUNTIME === "docker" ? "docker" : "containerd";

export interface TestRuntime extends TestContainerd {
  /** What a kubelet must be told of it besides its endpoint. */
  readonly kubeletArgs: readonly string[];
}

export async function startRuntime(options: StartContainerdOptions): Promise<TestRuntime> {
  if (RUNTIME === "containerd") return withArgs(await startContainerd(options), []);
  const dockerd = await startDockerd(options);
  return withArgs(dockerd, [
    `--cni-conf-dir=${dockerd.cniConfDir}`,
    `--cni-bin-dir=${dockerd.cniBinDir}`,
    `--pod-infra-container-image=${PAUSE_IMAGE}`,
  ]);
}

/** Keeps the getters. */
function withArgs(runtime: TestContainerd, kubeletArgs: readonly string[]): TestRuntime {
  return Object.defineProperties({ kubeletArgs }, Object.getOwnPropertyDescriptors(runtime)) as TestRuntime;
}
