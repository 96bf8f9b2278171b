import assert from "node:assert/strict";
import test from "node:test";
import type { Image } from "@knarr/cri/types.ts";
import { type ContainerConfigInput, containerConfig, sandboxConfig } from "./runtime-config.ts";
import type { UserNamespace } from "./security-context.ts";
import { container, pod } from "./testing.ts";

const image = { id: "sha256:1", username: "", uid: undefined } as Image;
const mapping = { hostId: 131_072, containerId: 0, length: 65_536 };
const own: UserNamespace = { mode: "POD", uids: [mapping], gids: [mapping] };

function configOf(more: Partial<ContainerConfigInput> = {}) {
  return containerConfig({
    pod: pod(),
    container: container("main"),
    image,
    imageRef: image.id,
    restartCount: 0,
    env: [],
    mounts: [{ containerPath: "/data", hostPath: "/volume", readonly: false }],
    seccompRoot: "/seccomp",
    nodeMemoryBytes: 2 ** 30,
    swap: { behavior: "LimitedSwap", controller: true, swapBytes: 2 ** 30 },
    cgroupVersion: 2,
    ...more,
  });
}

test("containerConfig() maps the mounts as the pod's users are mapped", () => {
  const config = configOf({ users: own });
  assert.deepEqual(config.linux?.securityContext?.namespaceOptions?.usernsOptions, own);
  assert.deepEqual(config.mounts, [
    { containerPath: "/data", hostPath: "/volume", readonly: false, uidMappings: [mapping], gidMappings: [mapping] },
  ]);
});

test("containerConfig() leaves the mounts of a pod with the node's users as they are", () => {
  const config = configOf({ users: { mode: "NODE" } });
  assert.deepEqual(config.linux?.securityContext?.namespaceOptions?.usernsOptions, { mode: "NODE" });
  assert.deepEqual(config.mounts, [{ containerPath: "/data", hostPath: "/volume", readonly: false }]);
});

test("sandboxConfig() and containerConfig() name the same users, also for a debugger in another's process namespace", () => {
  const sandbox = sandboxConfig({
    pod: pod({ hostUsers: false }),
    attempt: 0,
    dns: { servers: [], searches: [], options: [] },
    clusterDomain: "cluster.local",
    logDirectory: "/logs",
    cgroupParent: "",
    users: own,
  });
  const { namespaceOptions } = configOf({ users: own, targetId: "c1" }).linux?.securityContext ?? {};
  assert.deepEqual(sandbox.linux?.securityContext?.namespaceOptions.usernsOptions, own);
  assert.deepEqual(namespaceOptions, { network: "POD", ipc: "POD", pid: "TARGET", targetId: "c1", usernsOptions: own });
});

test("containerConfig() tells how much swap the container may use, as its cgroups understand it", () => {
  const half = container("main", { resources: { requests: { memory: "512Mi" }, limits: { memory: "1Gi" } } });
  const given = { pod: pod({ containers: [half] }), container: half };
  const v2 = configOf(given).linux?.resources;
  assert.deepEqual(v2?.unified, { "memory.oom.group": "1", "memory.swap.max": "536870912" });
  assert.equal(v2?.memorySwapLimitInBytes, undefined);
  const v1 = configOf({ ...given, cgroupVersion: 1 }).linux?.resources;
  assert.deepEqual([v1?.unified, v1?.memorySwapLimitInBytes], [undefined, 2 ** 30]);
});

test("containerConfig() passes SELinux options on, the container's before the pod's", () => {
  const options = (level: string) => ({ user: "", role: "", type: "", level });
  const given = pod({ securityContext: { seLinuxOptions: { level: "s0:c1" } } });
  const own = container("main", { securityContext: { seLinuxOptions: { level: "s0:c2" } } });
  const of = (c: typeof own) => configOf({ pod: given, container: c }).linux?.securityContext?.selinuxOptions;
  assert.deepEqual(of(container("main")), options("s0:c1"));
  assert.deepEqual(of(own), options("s0:c2"));
  assert.equal(configOf().linux?.securityContext?.selinuxOptions, undefined);
});
