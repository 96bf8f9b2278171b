/** Which of the kernel's capabilities the kubelet has, and what it can't do without the others. */
import { readFile } from "node:fs/promises";
import type { Logger } from "@knarr/daemon/logger.ts";

interface Need {
  readonly bit: number;
  readonly name: string;
  readonly without: string;
}

/** Everything that the kubelet itself uses; the runtime needs more. Source: linux/capability.h */
const NEEDS: readonly Need[] = [
  { bit: 0, name: "CAP_CHOWN", without: "volumes can't be given to a pod's fsGroup or user" },
  { bit: 1, name: "CAP_DAC_OVERRIDE", without: "files of pods that run as other users can't be written or removed" },
  { bit: 2, name: "CAP_DAC_READ_SEARCH", without: "folders of other users can't be measured" },
  { bit: 3, name: "CAP_FOWNER", without: "the modes of other users' files can't be set" },
  { bit: 5, name: "CAP_KILL", without: "what is left in a pod's cgroup can't be ended" },
  { bit: 21, name: "CAP_SYS_ADMIN", without: "no volume can be mounted, so that hardly any pod starts" },
  {
    bit: 24,
    name: "CAP_SYS_RESOURCE",
    without: "limits of the kernel can't be raised, and out-of-memory scores not lowered",
  },
];

export interface MissingCapability {
  readonly name: string;
  readonly without: string;
}

/** From the text of /proc/self/status. Pure. */
export function missingCapabilities(status: string): MissingCapability[] {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return NEEDS.filter(({ bit }) => (mask & (1n << BigInt(bit))) === 0n).map(({ name, without }) => ({ name, without }));
}

/** Says at start what will not work, one line each. */
export async function tellCapabilities(log: Logger): Promise<void> {
  const missing = missingCapabilities(await readFile("/proc/self/status", "utf8"));
  for (const { name, without } of missing) log.warn({ capability: name, without }, "a capability is missing");
  log.info({ uses: NEEDS.map((n) => n.name), missing: missing.map((m) => m.name) }, "capabilities");
}
