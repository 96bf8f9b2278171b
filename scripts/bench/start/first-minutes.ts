/** From nothing to an application that answers through its Service by name. Source of the phases: time-to-k8s (minikube) */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildImageArchive } from "@knarr/cluster/images/image-archive.ts";
import { testImages } from "@knarr/testkit/images/test-images.ts";
import { startEngine } from "../../../test/compose/engine.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const KUBECTL = "/usr/local/lib/knarr/bin/kubectl-1.36";
const DEADLINE_MS = 300_000;
const IDLE_MS = 20_000;

export const PHASES = [
  "API answering",
  "command done (nodes Ready)",
  "application running",
  "NodePort answering",
  "answering by name from a pod",
] as const;
export type Phase = (typeof PHASES)[number];

export interface FirstMinutes {
  /** From the start of the command. */
  readonly phasesMs: Readonly<Record<Phase, number>>;
  readonly controlPlaneBytes: number;
  readonly controlPlaneMillis: number;
  readonly totalBytes: number;
  readonly totalMillis: number;
}

const knarr = (args: readonly string[]) => run(process.execPath, ["packages/cli/src/main.ts", ...args], { cwd: root });

async function until(what: string, probe: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await probe().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`waited ${DEADLINE_MS / 1000} s for ${what}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

/** A new cluster, taken away afterwards; `use` may do with it what it wants at the end. */
export async function measureUp(use: ((kubeconfig: string) => Promise<void>) | undefined): Promise<FirstMinutes> {
  const folder = await mkdtemp(join(tmpdir(), "knarr-bench-up-"));
  const dataDir = join(folder, "data");
  const kubeconfig = join(dataDir, "kubeconfig");
  const at = ["--data-dir", dataDir];
  try {
    const archives = await Promise.all((await testImages()).map((spec) => buildImageArchive(spec, folder)));
    const load = archives.flatMap((archive) => ["--load-image", archive]);
    const startedMs = performance.now();
    const since = () => performance.now() - startedMs;
    const command = spawn(process.execPath, ["packages/cli/src/main.ts", "up", "--nodes", "2", ...at, ...load], {
      cwd: root,
      stdio: ["ignore", "ignore", "inherit"],
    });
    const done = new Promise<number>((resolve, reject) =>
      command.once("exit", (code) =>
        code === 0 ? resolve(since()) : reject(new Error(`knarr up ended with ${code}`)),
      ),
    );
    const answering = until("the API", () => apiAnswers(kubeconfig)).then(since);
    const [commandMs, apiMs] = await Promise.all([done, answering]);
    const rest = await deploy(kubeconfig, since, async () => {
      const { stdout } = await run(KUBECTL, [
        "--kubeconfig",
        kubeconfig,
        "get",
        "node",
        "node-1",
        "-o",
        "jsonpath={.status.addresses[0].address}",
      ]);
      return `http://${stdout}:30080/`;
    });
    await new Promise((wake) => setTimeout(wake, IDLE_MS));
    const { stdout } = await knarr(["status", "-o", "json", ...at]);
    const { components } = JSON.parse(stdout) as {
      components: { name: string; memoryBytes: number; cpuMillis: number }[];
    };
    const sum = (of: typeof components, key: "memoryBytes" | "cpuMillis") => of.reduce((total, c) => total + c[key], 0);
    const plane = components.filter(({ name }) => !name.includes("@"));
    await use?.(kubeconfig);
    return {
      phasesMs: { "API answering": apiMs, "command done (nodes Ready)": commandMs, ...rest },
      controlPlaneBytes: sum(plane, "memoryBytes"),
      controlPlaneMillis: sum(plane, "cpuMillis"),
      totalBytes: sum(components, "memoryBytes"),
      totalMillis: sum(components, "cpuMillis"),
    };
  } finally {
    await knarr(["down", "--purge", ...at]).catch((error: unknown) => process.stderr.write(`${error}\n`));
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same through `docker compose up`, on an engine of its own with the image built already. */
export async function measureCompose(say: (text: string) => void): Promise<FirstMinutes> {
  say("compose: building the image (minutes)");
  const engine = await startEngine({ apiPort: 16_443, nodePorts: "30080-30083" });
  try {
    const startedMs = performance.now();
    const since = () => performance.now() - startedMs;
    const done = engine.compose(["up", "-d", "--no-build"]);
    const answering = until("the API", () => apiAnswers(engine.kubeconfig)).then(since);
    const [apiMs] = await Promise.all([answering, done]);
    await until("two nodes to be Ready", async () => {
      const { stdout } = await run(KUBECTL, ["--kubeconfig", engine.kubeconfig, "get", "nodes", "--no-headers"]);
      return (stdout.match(/ Ready /g) ?? []).length === 2;
    });
    const commandMs = since();
    const rest = await deploy(engine.kubeconfig, since, async () => "http://127.0.0.1:30080/");
    await new Promise((wake) => setTimeout(wake, IDLE_MS));
    const stats = await engine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}}");
    const rows = [...stats.matchAll(/^(\S+) ([\d.]+)% ([\d.]+)([KMG])iB/gm)].map(
      ([, name = "", cpu, size, unit = ""]) => ({
        name,
        millis: Math.round(Number(cpu) * 10),
        bytes: Number(size) * 1024 ** (1 + "KMG".indexOf(unit)),
      }),
    );
    const plane = rows.filter(({ name }) => !/-node-\d+$/.test(name));
    const sum = (of: typeof rows, key: "millis" | "bytes") => of.reduce((total, row) => total + row[key], 0);
    return {
      phasesMs: { "API answering": apiMs, "command done (nodes Ready)": commandMs, ...rest },
      controlPlaneBytes: sum(plane, "bytes"),
      controlPlaneMillis: sum(plane, "millis"),
      totalBytes: sum(rows, "bytes"),
      totalMillis: sum(rows, "millis"),
    };
  } finally {
    await engine.stop();
  }
}

async function apiAnswers(kubeconfig: string): Promise<boolean> {
  if (!existsSync(kubeconfig)) return false;
  const { stdout } = await run(KUBECTL, [
    "--kubeconfig",
    kubeconfig,
    "get",
    "--raw",
    "/readyz",
    "--request-timeout=2s",
  ]);
  return stdout === "ok";
}

/** The README's first example. */
async function deploy(
  kubeconfig: string,
  since: () => number,
  urlOf: () => Promise<string>,
): Promise<Record<"application running" | "NodePort answering" | "answering by name from a pod", number>> {
  const flags = ["--kubeconfig", kubeconfig];
  await run(KUBECTL, [...flags, "apply", "-f", "examples/web.yaml"], { cwd: root });
  await run(KUBECTL, [...flags, "rollout", "status", "deployment/web", "-n", "web", "--timeout=300s"]);
  const runningMs = since();
  const url = await urlOf();
  await until("the NodePort", async () => (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok);
  const nodePortMs = since();
  const asked = [
    "exec",
    "-n",
    "web",
    "deployment/web",
    "--",
    "wget",
    "-q",
    "-O",
    "-",
    "http://web.web.svc.cluster.local/",
  ];
  await until("the name from a pod", async () => / version /.test((await run(KUBECTL, [...flags, ...asked])).stdout));
  return {
    "application running": runningMs,
    "NodePort answering": nodePortMs,
    "answering by name from a pod": since(),
  };
}
