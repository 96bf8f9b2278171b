/** A kubelet as a process of its own, for tests inside an isolated test. */
import { mkdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ChildDaemon, freePort } from "@knarr/testkit/child-daemon.ts";

export interface TestKubelet {
  readonly directory: string;
  readonly rootDir: string;
  readonly logDir: string;
  readonly manifests: string;
  readonly port: number;
  readonly output: () => string;
  readonly pid: () => number;
  stop(): Promise<void>;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export interface StartKubeletOptions {
  /** Everything of this kubelet is below. */
  readonly directory: string;
  readonly endpoint: string;
  readonly cgroupRoot: string;
  readonly args?: readonly string[];
}

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

function healthy(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const outgoing = request({ host: "127.0.0.1", port, path: "/healthz", timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    outgoing.once("error", () => resolve(false));
    outgoing.end();
  });
}

export async function startKubelet(options: StartKubeletOptions): Promise<TestKubelet> {
  const { directory } = options;
  const manifests = join(directory, "manifests");
  const rootDir = join(directory, "kubelet");
  const logDir = join(directory, "logs");
  await mkdir(manifests, { recursive: true });
  const [port, healthzPort] = [await freePort(), await freePort()];
  const start = () =>
    ChildDaemon.start({
      command: process.execPath,
      args: [
        MAIN,
        "--hostname-override=node-1",
        "--node-ip=127.0.0.1",
        `--container-runtime-endpoint=${options.endpoint}`,
        `--root-dir=${rootDir}`,
        `--pod-log-dir=${logDir}`,
        `--pod-manifest-path=${manifests}`,
        `--cgroup-root=${options.cgroupRoot}`,
        `--port=${port}`,
        `--healthz-port=${healthzPort}`,
        "--cluster-dns=10.96.0.10",
        "--cluster-domain=cluster.local",
        "--v=3",
        ...(options.args ?? []),
      ],
      ready: () => healthy(healthzPort),
    });
  let daemon = await start();
  return {
    directory,
    rootDir,
    logDir,
    manifests,
    port,
    output: () => daemon.output,
    pid: () => daemon.pid,
    stop: () => daemon.stop(),
    kill: () => daemon.kill(),
    restart: async () => {
      await daemon.kill();
      daemon = await start();
    },
  };
}
