/** What the contract's parts share: configurations of sandboxes and containers, and waiting for them. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime } from "../src/runtime.ts";
import type { ContainerConfig, ContainerStatus, SandboxConfig } from "../src/types.ts";

export const IMAGE = "knarr.local/busybox:1";

export interface ContractOptions {
  readonly cgroupParent: string;
}

export function sandboxConfig(name: string, logDirectory: string, cgroupParent: string): SandboxConfig {
  return {
    metadata: { name, uid: randomUUID(), namespace: "default", attempt: 0 },
    hostname: name,
    logDirectory,
    dnsConfig: { servers: ["10.96.0.10"], searches: ["default.svc.cluster.local"], options: ["ndots:5"] },
    labels: { "io.kubernetes.pod.name": name },
    annotations: { note: "kept" },
    linux: {
      cgroupParent,
      securityContext: { namespaceOptions: { network: "POD", pid: "CONTAINER", ipc: "POD" } },
    },
  };
}

export function containerConfig(
  name: string,
  command: readonly string[],
  more: Partial<ContainerConfig> = {},
): ContainerConfig {
  return { metadata: { name, attempt: 0 }, image: { image: IMAGE }, command, logPath: `${name}.log`, ...more };
}

export async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    const value = await probe();
    if (value !== undefined) return value;
    await sleep(50);
  }
  throw new Error(`never happened: ${what}`);
}

export async function exited(runtime: Runtime, id: string): Promise<ContainerStatus> {
  return await until(`container ${id} exits`, async () => {
    const status = await runtime.containerStatus(id);
    return status.state === "exited" ? status : undefined;
  });
}

export interface SandboxCase {
  readonly runtime: Runtime;
  readonly sandboxId: string;
  readonly sandbox: SandboxConfig;
  /** The sandbox's log directory. */
  readonly logs: string;
}

export class ContractKit {
  readonly open: () => Promise<Runtime>;
  readonly cgroupParent: string;

  constructor(open: () => Promise<Runtime>, options: ContractOptions) {
    this.open = open;
    this.cgroupParent = options.cgroupParent;
  }

  /** Runs `body` with a sandbox of its own, which is gone afterwards. */
  async withSandbox(
    body: (given: SandboxCase) => Promise<void>,
    change: (config: SandboxConfig) => SandboxConfig = (config) => config,
  ): Promise<void> {
    const runtime = await this.open();
    const logs = await mkdtemp(join(tmpdir(), "knarr-logs-"));
    const sandbox = change(sandboxConfig(`pod-${randomUUID().slice(0, 8)}`, logs, this.cgroupParent));
    try {
      const sandboxId = await runtime.runSandbox(sandbox, "");
      try {
        await body({ runtime, sandboxId, sandbox, logs });
      } finally {
        await runtime.stopSandbox(sandboxId);
        await runtime.removeSandbox(sandboxId);
      }
    } finally {
      await rm(logs, { recursive: true });
      runtime.close();
    }
  }
}

/** Creates and starts. */
export async function start({ runtime, sandboxId, sandbox }: SandboxCase, config: ContainerConfig): Promise<string> {
  const id = await runtime.createContainer(sandboxId, config, sandbox);
  await runtime.startContainer(id);
  return id;
}

/** A container that stays. */
export function sleeper(name: string, more: Partial<ContainerConfig> = {}): ContainerConfig {
  return containerConfig(name, ["/bin/sleep", "1000"], more);
}

/** What a script says in a running container. */
export async function say(runtime: Runtime, id: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await runtime.execSync(id, ["/bin/sh", "-c", script], 60_000);
  return `${stdout}${stderr}${exitCode === 0 ? "" : `exit ${exitCode}`}`.trim();
}
