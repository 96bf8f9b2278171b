/**
 * Slices of systemd, made and changed by `busctl`, which comes with systemd, so that no D-Bus library is needed. systemd
 * writes the files of the controllers that it manages; the kubelet writes the rest, as with the other driver.
 * Source: opencontainers/runc libcontainer/cgroups/systemd, org.freedesktop.systemd1(5)
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { cpuWeight } from "../core/qos.ts";
import type { CgroupLimits } from "./cgroups.ts";

const run = promisify(execFile);
const MANAGER = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

type Property = readonly [name: string, signature: string, value: string];

/** The limits as unit properties. Pure. */
export function limitProperties(limits: CgroupLimits, version: 1 | 2): Property[] {
  const { cpuShares, cpuQuotaUs, memoryLimitBytes, pidsMax } = limits;
  const list: Property[] = [];
  if (cpuShares !== undefined) {
    list.push(version === 2 ? ["CPUWeight", "t", String(cpuWeight(cpuShares))] : ["CPUShares", "t", String(cpuShares)]);
  }
  // Of a second, where the kernel's file says it of a period of 100 ms.
  if (cpuQuotaUs !== undefined) list.push(["CPUQuotaPerSecUSec", "t", String(cpuQuotaUs * 10)]);
  if (memoryLimitBytes !== undefined) {
    list.push([version === 2 ? "MemoryMax" : "MemoryLimit", "t", String(memoryLimitBytes)]);
  }
  if (pidsMax !== undefined) list.push(["TasksMax", "t", String(pidsMax)]);
  return list;
}

/** The arguments of StartTransientUnit for a slice. Pure. */
export function startArguments(name: string, limits: CgroupLimits, version: 1 | 2): string[] {
  const properties: Property[] = [
    ["Description", "s", `Kubernetes pods: ${name}`],
    ["DefaultDependencies", "b", "false"],
    ...["CPUAccounting", "MemoryAccounting", "TasksAccounting"].map((p): Property => [p, "b", "true"]),
    ...limitProperties(limits, version),
  ];
  return ["ssa(sv)a(sa(sv))", name, "replace", String(properties.length), ...properties.flat(), "0"];
}

export class SystemdSlices {
  readonly #version: 1 | 2;

  constructor(version: 1 | 2) {
    this.#version = version;
  }

  /** Makes the slice, or changes it where it is. Throws where there is no systemd. */
  async ensure(name: string, limits: CgroupLimits): Promise<void> {
    try {
      await this.#call("StartTransientUnit", startArguments(name, limits, this.#version));
    } catch (error) {
      if (!String((error as { stderr?: unknown }).stderr ?? error).includes("already")) throw error;
      await this.set(name, limits);
    }
  }

  async set(name: string, limits: CgroupLimits): Promise<void> {
    const properties = limitProperties(limits, this.#version);
    if (properties.length === 0) return;
    await this.#call("SetUnitProperties", ["sba(sv)", name, "true", String(properties.length), ...properties.flat()]);
  }

  /** Idempotent. */
  async stop(name: string): Promise<void> {
    try {
      await this.#call("StopUnit", ["ss", name, "replace"]);
    } catch (error) {
      if (!String((error as { stderr?: unknown }).stderr ?? error).includes("not loaded")) throw error;
    }
  }

  async #call(method: string, args: readonly string[]): Promise<void> {
    await run("busctl", ["--system", "--quiet", "call", ...MANAGER, method, ...args]);
  }
}
