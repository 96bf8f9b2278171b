/**
 * A Docker Engine of the test's own, with the image of docker-compose.yml built in it from Debian's packages: no registry
 * of images is asked. It touches no firewall; its bridges go with `compose down`. KNARR_COMPOSE_FOLDER names a folder that is
 * kept with its images, so that the next run has them.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { renderRuncWrapper } from "@knarr/cluster/containerd-config.ts";
import { cgroupHierarchies, lacksSysResource, removeCgroup, unmountAll } from "@knarr/cluster/node-files.ts";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { eventually, must, type RunOptions, run } from "../e2e/lib/run.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const COMPOSE = "/usr/local/lib/knarr/bin/docker-compose";
const BASE = "knarr-test-base";
/** It stops every container first, and each of them has the 30 s that docker-compose.yml gives it. */
const ENGINE_GRACE_MS = 90_000;

/** Capabilities that containers get instead of `privileged`, which fails where root itself lacks one of them. */
const CAPABILITIES = [
  ...["SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_TIME", "SYSLOG"],
  ...["MKNOD", "AUDIT_WRITE", "AUDIT_CONTROL", "DAC_READ_SEARCH", "LINUX_IMMUTABLE", "IPC_LOCK", "IPC_OWNER", "LEASE"],
  ...["SYS_BOOT", "SYS_PACCT", "SYS_RAWIO", "SYS_TTY_CONFIG", "MAC_ADMIN", "MAC_OVERRIDE", "NET_BROADCAST"],
];

export interface Engine {
  readonly folder: string;
  readonly kubeconfig: string;
  docker(...args: string[]): Promise<string>;
  compose(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Stopped as a machine's shutdown stops it, and started again. */
  restart(): Promise<void>;
  /** Killed, which leaves its containers running without it, and started again. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

export interface EngineOptions {
  readonly apiPort: number;
  readonly nodePorts: string;
  /** The engine runs pods itself, beside compose's containers. */
  readonly runsPods?: boolean;
}

export async function startEngine({ apiPort, nodePorts, runsPods = false }: EngineOptions): Promise<Engine> {
  const kept = process.env.KNARR_COMPOSE_FOLDER;
  const folder = kept ?? (await mkdtemp(join(tmpdir(), "knarr-compose-")));
  await mkdir(folder, { recursive: true });
  const cgroup = `/${basename(folder)}`;
  const socket = join(folder, "docker.sock");
  const config = join(folder, "daemon.json");
  const settings = {
    hosts: [`unix://${socket}`],
    "data-root": join(folder, "data"),
    "exec-root": join(folder, "exec"),
    pidfile: join(folder, "dockerd.pid"),
    bridge: "none",
    iptables: false,
    "ip-masq": false,
    "ip-forward": false,
    "oom-score-adjust": 0,
    "cgroup-parent": cgroup,
    ...(runsPods && (await lacksSysResource()) ? await restrictedRuntime(folder) : {}),
  };
  await writeFile(config, JSON.stringify(settings));
  const env = {
    ...process.env,
    DOCKER_HOST: `unix://${socket}`,
    // The old builder needs no image of its own.
    DOCKER_BUILDKIT: "0",
    KNARR_API_PORT: String(apiPort),
    KNARR_NODE_PORTS: nodePorts,
    KNARR_DOCKER_SOCKET: socket,
    KNARR_DOCKER_ROOT: join(folder, "data"),
  };
  const ready = async () => (await run("docker", ["version"], { env })).code === 0;
  const start = () => ChildDaemon.start({ command: "dockerd", args: ["--config-file", config], ready });
  let daemon = await start();
  const project = await writeProject(folder);
  const files = ["-f", "docker-compose.yml", "-f", "restricted.yml"];
  const engine: Engine = {
    folder,
    kubeconfig: join(project, ".knarr/config"),
    docker: (...args) => must("docker", args, { env, timeoutMs: 600_000 }),
    compose: (args, options) =>
      must(COMPOSE, [...files, ...args], { env, cwd: project, timeoutMs: 300_000, ...options }),
    async restart() {
      await daemon.stop(ENGINE_GRACE_MS);
      daemon = await start();
    },
    async crash() {
      const pid = Number(await readFile(join(folder, "exec/containerd/containerd.pid"), "utf8"));
      await daemon.kill();
      // It dies with the engine, and is waited for here: an engine that finds it dying takes it for alive, and gives up.
      await eventually("the engine's containerd is gone", 60_000, async () => (isRunning(pid) ? undefined : true));
      daemon = await start();
    },
    async stop() {
      await engine.compose(["--profile", "*", "down", "-v", "-t", runsPods ? "30" : "5"]);
      await daemon.stop(ENGINE_GRACE_MS);
      // The engine leaves its host network's namespace mounted; so does a node whose end a failed test did not wait for.
      await unmountAll(folder);
      await removeCgroup(cgroup);
      if (kept === undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await makeHeavy(cgroup);
    if ((await run("docker", ["image", "inspect", BASE], { env })).code !== 0) await importBase(folder, env);
    const build = ["build", "-q", "--network", "host", "--build-arg", `BASE=${BASE}`, "-f", "deploy/Dockerfile"];
    await must("docker", [...build, "-t", "knarr", "."], { env, cwd: root, timeoutMs: 900_000 });
  } catch (error) {
    await engine.stop();
    throw error;
  }
  return engine;
}

/** Pods ask for OOM scores that root can't set here. */
async function restrictedRuntime(folder: string): Promise<object> {
  const path = join(folder, "runc");
  await writeFile(path, renderRuncWrapper((await must("sh", ["-c", "command -v runc"])).trim()));
  await chmod(path, 0o755);
  return { "default-runtime": "restricted", runtimes: { restricted: { path } } };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH: this process is root, so nothing else is possible
  }
}

/** The engine's containers share one cgroup, which else weighs as much as a single process of a busy machine. */
async function makeHeavy(cgroup: string): Promise<void> {
  for (const hierarchy of await cgroupHierarchies()) {
    await mkdir(join(hierarchy, cgroup), { recursive: true });
    const files: readonly (readonly [string, string])[] = [
      ["cpu.shares", "32768"],
      ["cpu.weight", "3200"],
    ];
    for (const [name, weight] of files) {
      const file = join(hierarchy, cgroup, name);
      if (existsSync(file)) await writeFile(file, weight);
    }
  }
}

/** docker-compose.yml as it is for users, and what differs on a machine that can't give all privileges. */
async function writeProject(folder: string): Promise<string> {
  const project = join(folder, "project");
  await mkdir(join(project, ".knarr"), { recursive: true });
  await copyFile(join(root, "docker-compose.yml"), join(project, "docker-compose.yml"));
  const node = {
    privileged: false,
    cap_add: CAPABILITIES,
    security_opt: ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"],
  };
  await writeFile(join(project, "restricted.yml"), JSON.stringify({ services: { node, "docker-node": node } }));
  return project;
}

/** Debian 13 by debootstrap with our Node.js and this machine's npm: what node:26-trixie-slim is for users. */
async function importBase(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  const tree = join(folder, "base");
  const mirror = "http://deb.debian.org/debian";
  const flags = ["--variant=minbase", "--include=ca-certificates,libatomic1"];
  await must("debootstrap", [...flags, "trixie", tree, mirror], { timeoutMs: 600_000 });
  const npm = dirname(dirname(await realpath((await must("sh", ["-c", "command -v npm"])).trim())));
  await copyFile(process.execPath, join(tree, "usr/local/bin/node"));
  await mkdir(join(tree, "usr/local/lib/node_modules"), { recursive: true });
  await cp(npm, join(tree, "usr/local/lib/node_modules/npm"), { recursive: true });
  await symlink("../lib/node_modules/npm/bin/npm-cli.js", join(tree, "usr/local/bin/npm"));
  // The machine's own authorities: its npm registry may be a mirror behind one of them.
  const authorities = "/etc/ssl/certs/ca-certificates.crt";
  await writeFile(join(tree, authorities), await readFile(authorities));
  await mkdir(join(tree, "usr/local/etc"), { recursive: true });
  await writeFile(join(tree, "usr/local/etc/npmrc"), `cafile=${authorities}\n`);
  await pipeTree(tree, env);
  await rm(tree, { recursive: true, force: true });
}

async function pipeTree(tree: string, env: NodeJS.ProcessEnv): Promise<void> {
  const tar = spawn("tar", ["-C", tree, "-c", "."], { stdio: ["ignore", "pipe", "inherit"] });
  const docker = spawn("docker", ["import", "-", BASE], { env, stdio: [tar.stdout, "ignore", "inherit"] });
  const ended = (name: string, child: typeof tar | typeof docker) =>
    new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${name} ended with ${code}`))));
    });
  await Promise.all([ended("tar", tar), ended("docker import", docker)]);
}
