/** What a container's devices add to what the runtime is told of it. Pure. */
import type { AllocateAnswer, DeviceMount, DeviceNode } from "./device-types.ts";

export interface DeviceOptions {
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly DeviceMount[];
  readonly devices: readonly DeviceNode[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly cdiDevices: readonly { readonly name: string }[];
}

export const NO_DEVICE_OPTIONS: DeviceOptions = { envs: [], mounts: [], devices: [], annotations: {}, cdiDevices: [] };

/** Of two resources that want the same variable, path, key or CDI device, the first has it. Source: deviceRunContainerOptions */
export function deviceOptions(answers: readonly AllocateAnswer[]): DeviceOptions {
  const envs = new Map<string, string>();
  const mounts = new Map<string, DeviceMount>();
  const devices = new Map<string, DeviceNode>();
  const annotations = new Map<string, string>();
  const cdi = new Set<string>();
  const keep = <T>(into: Map<string, T>, key: string, value: T) => {
    if (!into.has(key)) into.set(key, value);
  };
  for (const answer of answers) {
    for (const [key, value] of Object.entries(answer.envs)) keep(envs, key, value);
    for (const mount of answer.mounts) keep(mounts, mount.containerPath, mount);
    for (const device of answer.devices) keep(devices, device.containerPath, device);
    for (const [key, value] of Object.entries(answer.annotations)) keep(annotations, key, value);
    for (const { name } of answer.cdiDevices) cdi.add(name);
  }
  return {
    envs: [...envs].map(([key, value]) => ({ key, value })),
    mounts: [...mounts.values()],
    devices: [...devices.values()],
    annotations: Object.fromEntries(annotations),
    cdiDevices: [...cdi].map((name) => ({ name })),
  };
}
