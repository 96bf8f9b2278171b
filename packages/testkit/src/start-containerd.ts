/**
 * A real containerd for tests with its own root, state and socket. Run it inside an isolated test (isolated-test.ts):
 * pods, shims, mounts and bridges then live in that test's namespaces and end with them.
 */
import { execFile } from "node:child_process";
import { access, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { renderRuncWrapper } from "@knarr/cluster/containerd-config.ts";
import { buildImageArchive, type ImageSpec } from "@knarr/cluster/images/image-archive.ts";
import { PAUSE_IMAGE } from "@knarr/cluster/images/pause-image.ts";
import { lacksSysResource } from "@knarr/cluster/node-files.ts";
import { ChildDaemon } from "./child-daemon.ts";
import { renderBridgeConflist, renderContainerdConfig } from "./containerd-config.ts";
import { testImages } from "./images/test-images.ts";

const run = promisify(execFile);

export interface TestContainerd {
  /** "unix:///.../containerd.sock" */
  readonly endpoint: string;
  /** The instance's folder. */
  readonly directory: string;
  readonly cniConfDir: string;
  readonly output: string;
  /** Imports further images; `testImages()` are there from the start. */
  importImages(specs: readonly ImageSpec[]): Promise<void>;
  /**
   * Takes away everything that nothing refers to any more, and waits for it. By itself containerd does so after 100
   * changes of its metadata (deletion_threshold = 0, mutation_threshold = 100), and then never on a machine at rest.
   */
  collectGarbage(): Promise<void>;
  /** Writes the CNI network, for instances started without. */
  writeNetwork(subnet: string): Promise<void>;
  /** SIGKILL; pods and their shims go on. */
  kill(): Promise<void>;
  /** After kill: starts it again on the same folders. */
  restart(): Promise<void>;
  /** Ends containerd and removes its folder. What pods are left, the isolated test's end kills. */
  stop(): Promise<void>;
}

/** Where scripts/install-deps --test puts a containerd 2.x, with a runc that knows user namespaces beside it. */
export const CONTAINERD_2 = "/usr/local/lib/knarr/containerd-2/containerd";

export interface StartContainerdOptions {
  /**
   * Another containerd than the machine's, with its shim in the same folder, and ctr and runc where they are not to be
   * the machine's either. KNARR_TEST_CONTAINERD names one for every test that names none.
   */
  readonly containerd?: string | undefined;
  /** The pods' network, made with the CNI bridge plugin; without one the runtime reports that its network is not ready. */
  readonly subnet?: string | undefined;
  readonly images?: readonly ImageSpec[];
}

/** The first of the paths that is there. */
export async function firstExisting(paths: readonly string[], what: string): Promise<string> {
  for (const path of paths) {
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  throw new Error(`no ${what}; looked at ${paths.join(", ")} (run scripts/test, which installs it)`);
}

export async function startContainerd(options: StartContainerdOptions = {}): Promise<TestContainerd> {
  const directory = await mkdtemp(join(tmpdir(), "knarr-containerd-"));
  // The users of a pod's own are nobody here, and must come to the pod's root folder.
  await chmod(directory, 0o711);
  const socket = join(directory, "containerd.sock");
  const cniConfDir = join(directory, "net.d");
  const configPath = join(directory, "config.toml");
  const runcWrapper = join(directory, "runc");
  await mkdir(cniConfDir);
  await writeFile(
    configPath,
    renderContainerdConfig({
      root: join(directory, "root"),
      state: join(directory, "state"),
      socket,
      cniConfDir,
      cniBinDir: await firstExisting(["/opt/cni/bin", "/usr/lib/cni"], "CNI plugins"),
      sandboxImage: PAUSE_IMAGE,
      cdiSpecDir: join(directory, "cdi"),
      restricted: await lacksSysResource(),
      runcWrapper,
    }),
  );
  const { command, bin, env } = await binaries(options.containerd ?? process.env.KNARR_TEST_CONTAINERD);
  const runc = await firstExisting([...bin("runc"), "/usr/sbin/runc", "/usr/local/sbin/runc", "/usr/bin/runc"], "runc");
  await writeFile(runcWrapper, renderRuncWrapper(runc));
  await chmod(runcWrapper, 0o755);
  const writeNetwork = (subnet: string) =>
    writeFile(join(cniConfDir, "10-test.conflist"), renderBridgeConflist(subnet, join(directory, "ipam")));
  if (options.subnet !== undefined) await writeNetwork(options.subnet);
  const start = () => ChildDaemon.start({ command, env, args: ["--config", configPath], ready: () => accepts(socket) });
  let daemon = await start();
  const importImages = async (specs: readonly ImageSpec[]) => {
    for (const spec of specs) {
      const archive = await buildImageArchive(spec, join(directory, "archives"));
      await importArchive({ socket, env }, archive);
    }
  };
  await importImages(options.images ?? (await testImages()));
  return {
    endpoint: `unix://${socket}`,
    directory,
    cniConfDir,
    get output() {
      return daemon.output;
    },
    importImages,
    collectGarbage: async () => {
      // A lease taken away with --sync is the way to ask for a round.
      const leases = (...words: string[]) =>
        run("ctr", ["--address", socket, "--namespace", "k8s.io", "leases", ...words], { env });
      await leases("create", "--id", "knarr-test");
      await leases("delete", "--sync", "knarr-test");
    },
    writeNetwork,
    kill: () => daemon.kill(),
    restart: async () => {
      daemon = await start();
    },
    stop: async () => {
      await daemon.stop();
      await removeTree(directory);
    },
  };
}

interface Binaries {
  readonly command: string;
  /** A program in the folder of the containerd that was chosen; none for the machine's. */
  readonly bin: (name: string) => string[];
  /** With that folder first in PATH: containerd looks for its shim there. */
  readonly env: NodeJS.ProcessEnv;
}

async function binaries(containerd = ""): Promise<Binaries> {
  if (containerd === "") return { command: "containerd", bin: () => [], env: process.env };
  const command = await firstExisting([containerd], "containerd");
  const directory = dirname(command);
  const env = { ...process.env, PATH: `${directory}:${process.env.PATH ?? ""}` };
  return { command, bin: (name) => [join(directory, name)], env };
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", () => resolve(false));
  });
}

/** The image service may come up a moment after the socket. */
async function importArchive(
  { socket, env }: { readonly socket: string; readonly env: NodeJS.ProcessEnv },
  archive: string,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run("ctr", ["--address", socket, "--namespace", "k8s.io", "images", "import", archive], { env });
      return;
    } catch (error) {
      if (attempt === 20) throw error;
      await sleep(100);
    }
  }
}

/** Unmounts what is mounted below a folder, deepest first, and removes it. */
export async function removeTree(directory: string): Promise<void> {
  const mounted = async () =>
    (await readFile("/proc/self/mounts", "utf8"))
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((path) => path.startsWith(`${directory}/`));
  for (let paths = await mounted(); paths.length > 0; paths = await mounted()) {
    await run("umount", ["-l", paths.at(-1) ?? ""]);
  }
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}
