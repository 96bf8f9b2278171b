/** Pods and runtime states for the tests of this folder, short to write. Pure. */
import type { Container, Pod, PodSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { SandboxStatus } from "@knarr/cri/types.ts";
import { containerHash } from "./container-hash.ts";
import type { ObservedContainer, ObservedPod } from "./observed-pod.ts";

export function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: "img:1", ...more };
}

export function pod(spec: Partial<PodSpec> = {}, more: Partial<Pod["metadata"]> = {}): Pod {
  return {
    metadata: { name: "p", namespace: "ns", uid: "u1", generation: 1, ...more },
    spec: { containers: [container("main")], ...spec },
  };
}

export function sandbox(more: Partial<SandboxStatus> = {}): SandboxStatus {
  return {
    id: "s0",
    metadata: { name: "p", namespace: "ns", uid: "u1", attempt: 0 },
    state: "ready",
    createdAt: 1000,
    labels: {},
    annotations: {},
    runtimeHandler: "",
    ips: ["10.0.0.2"],
    networkMode: "POD",
    info: {},
    ...more,
  };
}

export function ran(name: string, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: `${name}-0`,
    name,
    sandboxId: "s0",
    state: "running",
    createdAt: 2000,
    startedAt: 3000,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "img:1",
    imageId: "sha256:1",
    hash: containerHash(container(name)),
    restartCount: 0,
    resources: undefined,
    user: undefined,
    stopSignal: undefined,
    mounts: [],
    logPath: "",
    annotations: {},
    ...more,
  };
}

export function exited(name: string, exitCode: number, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return ran(name, { state: "exited", exitCode, finishedAt: 4000, ...more });
}

export function observed(containers: readonly ObservedContainer[], sandboxes = [sandbox()]): ObservedPod {
  return { uid: "u1", sandboxes, containers, ips: sandboxes.find((s) => s.state === "ready")?.ips ?? [] };
}
