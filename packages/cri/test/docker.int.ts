/** The contract on a real Docker Engine, and what only it does. */
import { after, before } from "node:test";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startDockerd, type TestDockerd } from "@knarr/testkit/start-dockerd.ts";
import { openRuntime } from "../src/open-runtime.ts";
import { ContractKit } from "./contract-kit.ts";
import { dockerOwn } from "./docker-own.ts";
import { runtimeContract } from "./runtime-contract.ts";

if (await isolatedTest(import.meta)) {
  const cgroupParent = `/knarr-test-${process.ppid}-${Date.now()}`;
  let dockerd: TestDockerd;
  const open = () =>
    openRuntime(dockerd.endpoint, {
      stateDirectory: dockerd.stateDirectory,
      cniConfDir: dockerd.cniConfDir,
      cniBinDirs: [dockerd.cniBinDir],
      sandboxImage: "knarr.local/pause:3.10",
    });
  before(async () => {
    dockerd = await startDockerd({ subnet: "10.88.8.0/24" });
  });
  after(async () => {
    if (process.env.KNARR_SHOW_OUTPUT !== undefined) process.stderr.write(dockerd.output);
    await dockerd.stop();
    await removeCgroups(cgroupParent);
  });

  runtimeContract(open, { cgroupParent });
  dockerOwn(new ContractKit(open, { cgroupParent }), () => dockerd);
}
