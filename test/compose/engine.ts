/**
 * A Docker Engine of the test's own, with the image of docker-compose.yml built in it from Debian's packages: no registry
 * of images is asked. It touches no firewall; its bridges go with `compose down`.
 */
import { spawn } from "node:child_process";
import { copyFile, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ChildDaemon } from "@knarr/testkit/child-daemon.ts";
import { must, type RunOptions, run } from "../e2e/lib/run.ts";

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
}

export async function startEngine({ apiPort, nodePorts }: EngineOptions): Promise<Engine> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-compose-"));
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
  };
  await writeFile(config, JSON.stringify(settings));
  const env = {
    ...process.env,
    DOCKER_HOST: `unix://${socket}`,
    // The old builder needs no image of its own.
    DOCKER_BUILDKIT: "0",
    KNARR_API_PORT: String(apiPort),
    KNARR_NODE_PORTS: nodePorts,
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
      await daemon.kill();
      daemon = await start();
    },
    async stop() {
      await engine.compose(["down", "-v", "-t", "5"]);
      await daemon.stop(ENGINE_GRACE_MS);
      // The engine leaves its host network's namespace mounted.
      await run("umount", ["-l", join(folder, "exec/netns/default")]);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await importBase(folder, env);
    const build = ["build", "-q", "--network", "host", "--build-arg", `BASE=${BASE}`, "-f", "deploy/Dockerfile"];
    await must("docker", [...build, "-t", "knarr", "."], { env, cwd: root, timeoutMs: 900_000 });
  } catch (error) {
    await engine.stop();
    throw error;
  }
  return engine;
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
  await writeFile(join(project, "restricted.yml"), JSON.stringify({ services: { node } }));
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
