/**
 * A real Docker Engine for tests with its own folders, socket and pid file; it touches no bridge and no firewall. Run it
 * inside an isolated test (isolated-test.ts): its containerd, shims, pods and mounts end with that test's namespaces.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderRuncWrapper } from "@knarr/cluster/containerd-config.ts";
import { type ImageSpec, renderImageArchive } from "@knarr/cluster/images/image-archive.ts";
import { lacksSysResource } from "@knarr/cluster/node-files.ts";
import { ChildDaemon } from "./child-daemon.ts";
import { renderBridgeConflist } from "./containerd-config.ts";
import { testImages } from "./images/test-images.ts";
import { firstExisting, removeTree, type StartContainerdOptions, type TestContainerd } from "./start-containerd.ts";

export interface TestDockerd extends TestContainerd {
  readonly cniBinDir: string;
  /** The kubelet's and the runtime's folder of networks and log positions, below the instance's. */
  readonly stateDirectory: string;
  /** The engine's process. */
  readonly pid: number;
  /** Its containerd's process. */
  containerdPid(): Promise<number>;
  /** SIGTERM, as a service manager stops it; `restart` starts it again. Without live-restore it ends what runs. */
  terminate(): Promise<void>;
  /** Writes settings of its own; in force from the next start on. */
  configure(settings: Readonly<Record<string, unknown>>): Promise<void>;
}

export interface StartDockerdOptions extends StartContainerdOptions {
  /** More of daemon.json, such as "live-restore": false. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

interface EngineFiles {
  readonly directory: string;
  readonly socket: string;
  readonly configPath: string;
}

async function writeConfig(
  { directory, socket, configPath }: EngineFiles,
  settings: Readonly<Record<string, unknown>>,
): Promise<void> {
  const wrapper = join(directory, "runc");
  const runc = await firstExisting(["/usr/sbin/runc", "/usr/local/sbin/runc", "/usr/bin/runc"], "runc");
  await writeFile(wrapper, renderRuncWrapper(runc));
  await chmod(wrapper, 0o755);
  const restricted = { "default-runtime": "restricted", runtimes: { restricted: { path: wrapper } } };
  const config = {
    hosts: [`unix://${socket}`],
    "data-root": join(directory, "data"),
    "exec-root": join(directory, "exec"),
    pidfile: join(directory, "dockerd.pid"),
    bridge: "none",
    iptables: false,
    "ip-forward": false,
    "live-restore": true,
    "oom-score-adjust": 0,
    // What a test breaks on purpose stays broken: no waiting for further attempts.
    "max-download-attempts": 1,
    ...((await lacksSysResource()) ? restricted : {}),
    ...settings,
  };
  await writeFile(configPath, JSON.stringify(config));
}

export async function startDockerd(options: StartDockerdOptions = {}): Promise<TestDockerd> {
  const directory = await mkdtemp(join(tmpdir(), "knarr-dockerd-"));
  const files = { directory, socket: join(directory, "docker.sock"), configPath: join(directory, "daemon.json") };
  const cniConfDir = join(directory, "net.d");
  await mkdir(cniConfDir);
  await writeConfig(files, options.settings ?? {});
  const writeNetwork = (subnet: string) =>
    writeFile(join(cniConfDir, "10-test.conflist"), renderBridgeConflist(subnet, join(directory, "ipam")));
  if (options.subnet !== undefined) await writeNetwork(options.subnet);
  const start = () =>
    ChildDaemon.start({
      command: "dockerd",
      args: ["--config-file", files.configPath],
      ready: async () => (await ask(files.socket, "GET", "/_ping").catch(() => undefined)) !== undefined,
    });
  const containerdPid = join(directory, "exec", "containerd", "containerd.pid");
  let daemon = await start();
  const importImages = async (specs: readonly ImageSpec[]) => {
    for (const spec of specs) await ask(files.socket, "POST", "/images/load?quiet=1", renderImageArchive(spec));
  };
  await importImages(options.images ?? (await testImages()));
  return {
    endpoint: `docker://${files.socket}`,
    directory,
    cniConfDir,
    cniBinDir: await firstExisting(["/opt/cni/bin", "/usr/lib/cni"], "CNI plugins"),
    stateDirectory: join(directory, "state"),
    get output() {
      return daemon.output;
    },
    get pid() {
      return daemon.pid;
    },
    containerdPid: async () => Number(await readFile(containerdPid, "utf8")),
    importImages,
    // It takes layers away with their containers.
    collectGarbage: () => Promise.resolve(),
    writeNetwork,
    configure: (settings) => writeConfig(files, { ...options.settings, ...settings }),
    terminate: async () => {
      await daemon.stop(60_000);
      await endContainerd(containerdPid);
    },
    kill: async () => {
      await daemon.kill();
      // Its containerd dies with it. Nobody reaps it in an isolated test, and a next engine would take it for alive.
      await endContainerd(containerdPid);
    },
    restart: async () => {
      daemon = await start();
    },
    stop: async () => {
      await daemon.stop();
      await endContainerd(containerdPid);
      await removeTree(directory);
    },
  };
}

/** Ends the engine's own containerd, if it is there, and forgets it. */
async function endContainerd(pidFile: string): Promise<void> {
  const pid = Number(await readFile(pidFile, "utf8").catch(() => ""));
  if (!Number.isInteger(pid) || pid <= 1) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
  await rm(pidFile, { force: true });
}

/** One request to an engine's socket. Rejects with its answer when that is not a success. */
function ask(socketPath: string, method: string, path: string, body?: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/x-tar", "content-length": body.length };
    const outgoing = request({ socketPath, method, path, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("end", () => {
        const text = Buffer.concat(parts).toString();
        if ((response.statusCode ?? 500) < 300 && !text.includes('"errorDetail"')) resolve(text);
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
      });
    });
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}
