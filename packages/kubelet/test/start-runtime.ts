/** The container runtime of a test: containerd, or Docker Engine where KNARR_TEST_RUNTIME says so (docker.int.ts). */
import { PAUSE_IMAGE } from "@knarr/cluster/images/pause-image.ts";
import { startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { type StartDockerdOptions, startDockerd, type TestDockerd } from "@knarr/testkit/start-dockerd.ts";

export const RUNTIME = process.env.KNARR_TEST_RUNTIME === "docker" ? "docker" : "containerd";

export interface TestRuntime extends TestContainerd {
  /** What a kubelet must be told of it besides its endpoint. */
  readonly kubeletArgs: readonly string[];
  /** Where the runtime is Docker. */
  readonly dockerd?: TestDockerd;
}

export interface StartRuntimeOptions extends StartDockerdOptions {
  /** Where a test is about one of them. */
  readonly runtime?: "containerd" | "docker";
}

export async function startRuntime(options: StartRuntimeOptions): Promise<TestRuntime> {
  if ((options.runtime ?? RUNTIME) === "containerd")
    return withArgs(await startContainerd(options), { kubeletArgs: [] });
  const dockerd = await startDockerd(options);
  const kubeletArgs = [
    `--cni-conf-dir=${dockerd.cniConfDir}`,
    `--cni-bin-dir=${dockerd.cniBinDir}`,
    `--pod-infra-container-image=${PAUSE_IMAGE}`,
  ];
  return withArgs(dockerd, { kubeletArgs, dockerd });
}

/** Keeps the getters. */
function withArgs(runtime: TestContainerd, more: Pick<TestRuntime, "kubeletArgs" | "dockerd">): TestRuntime {
  return Object.defineProperties(more, Object.getOwnPropertyDescriptors(runtime)) as TestRuntime;
}
