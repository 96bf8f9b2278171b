/** The contract on what surrounds a container: namespaces, security, mounts, resources. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { RuntimeError } from "../src/runtime-error.ts";
import type { ContainerSecurityContext, NamespaceOption, SandboxConfig } from "../src/types.ts";
import {
  type ContractKit,
  containerConfig,
  exited,
  type SandboxCase,
  say,
  sleeper,
  start,
  until,
} from "./contract-kit.ts";

const run = promisify(execFile);

const withNamespaces =
  (namespaceOptions: NamespaceOption) =>
  (config: SandboxConfig): SandboxConfig => ({
    ...config,
    linux: { ...config.linux, securityContext: { ...config.linux?.securityContext, namespaceOptions } },
  });

/** A container with the sandbox's namespaces and more. */
async function secured(given: SandboxCase, name: string, more: Partial<ContainerSecurityContext>): Promise<string> {
  const namespaceOptions = given.sandbox.linux?.securityContext?.namespaceOptions;
  const securityContext = { ...(namespaceOptions === undefined ? {} : { namespaceOptions }), ...more };
  return await start(given, sleeper(name, { linux: { securityContext } }));
}

const statusField = (name: string) => `grep ^${name}: /proc/self/status | cut -f2`;

export function podContract(kit: ContractKit): void {
  test("containers of a sandbox share its network, shared memory, host name and, if asked, processes", async () => {
    const shared = withNamespaces({ network: "POD", pid: "POD", ipc: "POD" });
    await kit.withSandbox(async (given) => {
      const { runtime, sandbox } = given;
      const [one, two] = [await secured(given, "one", {}), await secured(given, "two", {})];
      const address = "ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1";
      const { ips } = await runtime.sandboxStatus(given.sandboxId);
      assert.equal(await say(runtime, one, address), ips[0]);
      assert.equal(await say(runtime, two, address), ips[0]);
      assert.equal(await say(runtime, two, "hostname"), sandbox.hostname);
      await say(runtime, one, "echo there > /dev/shm/mark");
      assert.equal(await say(runtime, two, "cat /dev/shm/mark"), "there");
      assert.equal(await say(runtime, two, "ps -o args | grep -c '^/bin/sleep 1000'"), "2");
      assert.match(await say(runtime, two, "cat /proc/1/cmdline | tr '\\0' ' '"), /pause/);
      const conf = await say(runtime, one, "cat /etc/resolv.conf");
      assert.equal(conf, "search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5");
    }, shared);
  });

  test("a sandbox on the host's network has no address of its own, and the host's name and interfaces", async () => {
    await kit.withSandbox(
      async (given) => {
        const { runtime, sandboxId } = given;
        const status = await runtime.sandboxStatus(sandboxId);
        assert.deepEqual([status.ips, status.networkMode, status.state], [[], "NODE", "ready"]);
        const id = await secured(given, "main", {});
        assert.equal(await say(runtime, id, "hostname"), hostname());
        const devices = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort";
        const { stdout } = await run("sh", ["-c", devices]);
        assert.equal(await say(runtime, id, devices), stdout.trim());
      },
      (config) => {
        const { hostname: _, ...rest } = withNamespaces({ network: "NODE", pid: "CONTAINER", ipc: "POD" })(config);
        return rest;
      },
    );
  });

  test("sysctls are set in the sandbox's namespaces", async () => {
    const sysctls = { "net.ipv4.ip_local_port_range": "2000 3000", "kernel.shm_rmid_forced": "1" };
    await kit.withSandbox(
      async (given) => {
        const id = await secured(given, "main", {});
        const read = "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced | tr '\\t' ' '";
        assert.equal(await say(given.runtime, id, read), "2000 3000\n1");
      },
      (config) => ({ ...config, linux: { ...config.linux, sysctls } }),
    );
  });

  test("a container has the user, groups, capabilities, privileges and read-only root that were asked for", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime } = given;
      const id = await secured(given, "strict", {
        runAsUser: { value: 1234 },
        runAsGroup: { value: 2345 },
        supplementalGroups: [3456],
        capabilities: { dropCapabilities: ["ALL"], addCapabilities: ["NET_BIND_SERVICE"] },
        noNewPrivs: true,
        readonlyRootfs: true,
        seccomp: { profileType: "RuntimeDefault" },
        maskedPaths: ["/proc/version"],
        readonlyPaths: ["/proc/sys"],
      });
      assert.equal(await say(runtime, id, "id -u; id -g; id -G"), "1234\n2345\n2345 3456");
      // NET_BIND_SERVICE is bit 10; a user that is not root has it in its bounding set.
      assert.equal(await say(runtime, id, statusField("CapBnd")), "0000000000000400");
      assert.equal(await say(runtime, id, `${statusField("NoNewPrivs")}; ${statusField("Seccomp")}`), "1\n2");
      assert.match(await say(runtime, id, "touch /x"), /Read-only file system/);
      assert.equal(await say(runtime, id, "cat /proc/version"), "");
      const open = await secured(given, "open", { seccomp: { profileType: "Unconfined" }, maskedPaths: [] });
      assert.equal(await say(runtime, open, `${statusField("Seccomp")}; wc -l < /proc/version`), "0\n1");
    });
  });

  test("a seccomp profile from a file is applied, and one that is not there refuses the container", async () => {
    const folder = await mkdtemp(join(tmpdir(), "knarr-seccomp-"));
    const path = join(folder, "no-mkdir.json");
    const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }];
    await writeFile(path, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
    try {
      await kit.withSandbox(async (given) => {
        const id = await secured(given, "main", { seccomp: { profileType: "Localhost", localhostRef: path } });
        assert.match(await say(given.runtime, id, "mkdir /tmp/x"), /Operation not permitted/);
        const absent = { profileType: "Localhost", localhostRef: join(folder, "absent.json") } as const;
        await assert.rejects(secured(given, "absent", { seccomp: absent }), /seccomp profile/);
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("mounts are read-only and propagate as asked; a missing source becomes a folder", async () => {
    const folder = await mkdtemp(join(tmpdir(), "knarr-mounts-"));
    await writeFile(join(folder, "file"), "content\n");
    try {
      await kit.withSandbox(async (given) => {
        const mount = (containerPath: string, hostPath: string, readonly: boolean) => ({
          containerPath,
          hostPath,
          readonly,
        });
        const mounts = [
          { ...mount("/slave", join(folder, "slave"), false), propagation: "PROPAGATION_HOST_TO_CONTAINER" as const },
          mount("/private", join(folder, "private"), false),
          mount("/etc/one:file", join(folder, "file"), true),
        ];
        const id = await start(given, sleeper("main", { mounts }));
        assert.equal(await say(given.runtime, id, "cat /etc/one:file"), "content");
        assert.match(await say(given.runtime, id, "echo x > /etc/one:file"), /Read-only file system/);
        for (const name of ["slave", "private"]) {
          await run("mkdir", [join(folder, name, "sub")]);
          await run("mount", ["-t", "tmpfs", "tmpfs", join(folder, name, "sub")]);
        }
        try {
          assert.equal(await say(given.runtime, id, "grep -c ' /slave/sub ' /proc/mounts"), "1");
          assert.match(await say(given.runtime, id, "grep -c ' /private/sub ' /proc/mounts"), /^0/);
        } finally {
          for (const name of ["slave", "private"]) await run("umount", [join(folder, name, "sub")]);
        }
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("resources are set and can be changed while the container runs", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime, sandbox } = given;
      const mib = 1024 * 1024;
      const resources = { cpuShares: 512, cpuPeriod: 100_000, cpuQuota: 50_000, memoryLimitInBytes: 64 * mib };
      const id = await start(given, sleeper("main", { linux: { resources } }));
      const parent = sandbox.linux?.cgroupParent ?? "";
      const isV2 = (await readFile("/proc/self/cgroup", "utf8")).trim().split("\n").length === 1;
      const limit = async () => {
        const file = isV2
          ? join("/sys/fs/cgroup", parent, id, "memory.max")
          : join("/sys/fs/cgroup/memory", parent, id, "memory.limit_in_bytes");
        return Number(await readFile(file, "utf8"));
      };
      assert.equal(await limit(), 64 * mib);
      await runtime.updateContainerResources(id, { ...resources, cpuShares: 256, memoryLimitInBytes: 96 * mib });
      assert.equal(await limit(), 96 * mib);
      const status = await runtime.containerStatus(id);
      if (status.resources !== undefined) {
        assert.deepEqual([status.resources.cpuShares, status.resources.memoryLimitInBytes], [256, 96 * mib]);
      }
    });
  });

  test("a container that outgrows its memory limit ends as OOMKilled", async () => {
    await kit.withSandbox(async (given) => {
      const resources = { memoryLimitInBytes: 16 * 1024 * 1024 };
      const hungry = ["/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M"];
      const id = await start(given, containerConfig("hungry", hungry, { linux: { resources } }));
      const { exitCode } = await exited(given.runtime, id);
      assert.equal(exitCode, 137);
      // Two events of the kernel's, in any order: the reason may come a moment after the end.
      await until("its reason is OOMKilled", async () => {
        const { reason } = await given.runtime.containerStatus(id);
        return reason === "OOMKilled" ? true : undefined;
      });
    });
  });

  test("startContainer() fails with the runtime's words when the command is not there, and the container has ended", async () => {
    await kit.withSandbox(async (given) => {
      const { runtime, sandboxId, sandbox } = given;
      const id = await runtime.createContainer(sandboxId, containerConfig("main", ["/no/such/command"]), sandbox);
      await assert.rejects(
        runtime.startContainer(id),
        (error) => error instanceof RuntimeError && /no such file or directory/.test(error.detail),
      );
      const status = await runtime.containerStatus(id);
      assert.equal(status.state, "exited");
      assert.notEqual(status.exitCode, 0);
      assert.match(status.reason, /^(ContainerCannotRun|StartError)$/);
      assert.match(status.message, /no such file or directory/);
    });
  });
}
