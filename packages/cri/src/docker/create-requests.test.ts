import assert from "node:assert/strict";
import test from "node:test";
import type { ContainerConfig, SandboxConfig } from "../types.ts";
import { containerRequest, type EngineTraits, resourceFields, sandboxRequest } from "./create-requests.ts";
import { ownedOf } from "./identity.ts";

const TRAITS: EngineTraits = {
  cgroupDriver: "cgroupfs",
  cgroupVersion: 1,
  hasAppArmor: false,
  hasSeLinux: false,
  recursiveReadOnly: false,
};

const SANDBOX: SandboxConfig = {
  metadata: { name: "web", uid: "u1", namespace: "default", attempt: 2 },
  hostname: "web",
  logDirectory: "/var/log/pods/web",
  labels: { "io.kubernetes.pod.uid": "u1", "dev.knarr.cri": "made up" },
  annotations: { note: "kept" },
  linux: {
    cgroupParent: "/kubepods/podu1",
    securityContext: { namespaceOptions: { network: "POD", pid: "CONTAINER", ipc: "POD" } },
  },
};

const CONTAINER: ContainerConfig = { metadata: { name: "main", attempt: 1 }, image: { image: "sha256:1" } };

function sandboxOf(config: SandboxConfig, traits: Partial<EngineTraits> = {}) {
  const request = {
    owner: "/state",
    config,
    image: "pause",
    runtimeHandler: "",
    securityOpt: [],
    traits: { ...TRAITS, ...traits },
  };
  return sandboxRequest(request);
}

function containerOf(config: Partial<ContainerConfig>, sandbox = SANDBOX, traits: Partial<EngineTraits> = {}) {
  return containerRequest({
    owner: "/state",
    sandboxId: "s1",
    config: { ...CONTAINER, ...config },
    sandbox,
    runtimeHandler: "",
    securityOpt: [],
    ownMounts: [],
    traits: { ...TRAITS, ...traits },
  });
}

test("sandboxRequest() keeps the configuration in one label that a pod's labels can't forge", () => {
  const { Labels } = sandboxOf(SANDBOX);
  const owned = ownedOf(Labels ?? null, "/state");
  assert.equal(owned?.kind, "sandbox");
  assert.deepEqual(owned?.record.labels, SANDBOX.labels);
  assert.deepEqual(owned?.record.annotations, SANDBOX.annotations);
  assert.equal(Labels?.["io.kubernetes.pod.uid"], "u1");
});

test("sandboxRequest() has an empty network namespace and shareable IPC, or the host's of both", () => {
  const own = sandboxOf(SANDBOX).HostConfig;
  assert.deepEqual(
    [own?.NetworkMode, own?.IpcMode, own?.PidMode, own?.UTSMode],
    ["none", "shareable", undefined, undefined],
  );
  const namespaceOptions = { network: "NODE", pid: "NODE", ipc: "NODE" } as const;
  const onHost = sandboxOf({ ...SANDBOX, linux: { securityContext: { namespaceOptions } } });
  const host = onHost.HostConfig;
  assert.deepEqual([host?.NetworkMode, host?.IpcMode, host?.PidMode, host?.UTSMode], ["host", "host", "host", "host"]);
  assert.equal(onHost.Hostname, undefined);
});

test("sandboxRequest() names the slice alone when systemd makes the cgroups", () => {
  const linux = { ...SANDBOX.linux, cgroupParent: "/kubepods.slice/kubepods-podu1.slice" };
  const config = { ...SANDBOX, linux };
  assert.equal(sandboxOf(config, { cgroupDriver: "systemd" }).HostConfig?.CgroupParent, "kubepods-podu1.slice");
  assert.equal(sandboxOf(config).HostConfig?.CgroupParent, linux.cgroupParent);
});

test("sandboxRequest() refuses a user namespace, which Docker does not have per pod", () => {
  const namespaceOptions = { network: "POD", pid: "POD", ipc: "POD", usernsOptions: { mode: "POD" } } as const;
  assert.throws(() => sandboxOf({ ...SANDBOX, linux: { securityContext: { namespaceOptions } } }), /hostUsers/);
});

test("containerRequest() refuses an image volume instead of mounting nothing", () => {
  const mount = { containerPath: "/data", hostPath: "", readonly: true, image: { image: "data:1" } };
  assert.throws(() => containerOf({ mounts: [mount] }), /image volumes are not mounted on Docker/);
});

for (const { pid, want } of [
  { pid: "CONTAINER", want: undefined },
  { pid: "POD", want: "container:s1" },
  { pid: "NODE", want: "host" },
  { pid: "TARGET", want: "container:t1" },
] as const) {
  test(`containerRequest() has process namespace ${want} for mode ${pid}`, () => {
    const namespaceOptions = { network: "POD", ipc: "POD", pid, targetId: "t1" } as const;
    const host = containerOf({ linux: { securityContext: { namespaceOptions } } }).HostConfig;
    assert.deepEqual([host?.NetworkMode, host?.IpcMode, host?.PidMode], ["container:s1", "container:s1", want]);
  });
}

for (const { name, security, want } of [
  { name: "nothing", security: {}, want: undefined },
  { name: "a user", security: { runAsUser: { value: 7 } }, want: "7" },
  { name: "a user and a group", security: { runAsUser: { value: 7 }, runAsGroup: { value: 8 } }, want: "7:8" },
  { name: "a name and a group", security: { runAsUsername: "web", runAsGroup: { value: 8 } }, want: "web:8" },
  { name: "a group alone", security: { runAsGroup: { value: 8 } }, want: "0:8" },
]) {
  test(`containerRequest() runs as ${want} when ${name} is given`, () => {
    assert.equal(containerOf({ linux: { securityContext: security } }).User, want);
  });
}

test("containerRequest() leaves command and arguments to the image when none are given, and its health to nobody", () => {
  const bare = containerOf({});
  assert.deepEqual([bare.Entrypoint, bare.Cmd], [undefined, undefined]);
  assert.deepEqual(bare.Healthcheck, { Test: ["NONE"] });
  const given = containerOf({ command: ["/bin/web"], args: ["-v"] });
  assert.deepEqual([given.Entrypoint, given.Cmd], [["/bin/web"], ["-v"]]);
});

test("containerRequest() mounts a path once, the last one given", () => {
  const mount = (hostPath: string) => ({ containerPath: "/etc/hosts", hostPath, readonly: true });
  const { Mounts } = containerOf({ mounts: [mount("/one"), mount("/two")] }).HostConfig ?? {};
  assert.deepEqual(Mounts, [{ Type: "bind", Source: "/two", Target: "/etc/hosts", ReadOnly: true, BindOptions: {} }]);
});

test("containerRequest() makes read-only mounts recursive only where asked, on engines that would do so of themselves", () => {
  const mount = (recursiveReadOnly: boolean) => ({
    containerPath: `/${recursiveReadOnly}`,
    hostPath: "/x",
    readonly: true,
    recursiveReadOnly,
  });
  const mounts = [mount(true), mount(false)];
  const options = containerOf({ mounts }, SANDBOX, { recursiveReadOnly: true }).HostConfig?.Mounts as unknown as {
    BindOptions: object;
  }[];
  assert.deepEqual(
    options.map((m) => m.BindOptions),
    [{ Propagation: "rprivate", ReadOnlyForceRecursive: true }, { ReadOnlyNonRecursive: true }],
  );
});

test("containerRequest() refuses the supplemental groups policy Strict", () => {
  const securityContext = { supplementalGroupsPolicy: "Strict" } as const;
  assert.throws(() => containerOf({ linux: { securityContext } }), /Strict/);
});

test("resourceFields() gives no swap beyond the memory limit unless asked", () => {
  assert.equal(resourceFields({ memoryLimitInBytes: 100 }).MemorySwap, 100);
  assert.equal(resourceFields({ memoryLimitInBytes: 100, memorySwapLimitInBytes: 150 }).MemorySwap, 150);
  assert.equal(resourceFields(undefined).Memory, 0);
});
