/** The files of a pod outside its volumes: hosts file, termination messages, log folder. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Container, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { Config } from "../config.ts";
import { Annotations, type ObservedContainer } from "../core/observed-pod.ts";
import { renderHostsFile } from "../core/pod-hostname.ts";
import { podDirectory } from "../volumes/pod-volumes.ts";

/** Source: kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure */
const MAX_MESSAGE_BYTES = 4096;
const MAX_LOG_MESSAGE_BYTES = 2048;
const MAX_LOG_MESSAGE_LINES = 80;

/** "<logs>/<ns>_<name>_<uid>" */
export function podLogDirectory(config: Pick<Config, "podLogDir">, pod: Pod): string {
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  return join(config.podLogDir, `${namespace}_${name}_${uid}`);
}

export async function makePodDirectories(config: Config, pod: Pod): Promise<void> {
  const directory = podDirectory(config.rootDir, pod.metadata.uid ?? "");
  for (const path of [directory, join(directory, "volumes"), join(directory, "containers")]) {
    await mkdir(path, { recursive: true, mode: 0o750 });
  }
  await mkdir(podLogDirectory(config, pod), { recursive: true, mode: 0o755 });
}

/** Writes the pod's /etc/hosts and returns its path. */
export async function writeHostsFile(config: Config, pod: Pod, podIps: readonly string[]): Promise<string> {
  const path = join(podDirectory(config.rootDir, pod.metadata.uid ?? ""), "etc-hosts");
  const host = pod.spec?.hostNetwork === true ? await readFile("/etc/hosts", "utf8") : "";
  await writeFile(path, renderHostsFile(pod, podIps, config.clusterDomain, host), { mode: 0o644 });
  await chmod(path, 0o644);
  return path;
}

/** Makes the empty file that a container may write its termination message to. */
export async function makeTerminationFile(config: Config, pod: Pod, container: Container): Promise<string> {
  const directory = join(podDirectory(config.rootDir, pod.metadata.uid ?? ""), "containers", container.name);
  await mkdir(directory, { recursive: true, mode: 0o750 });
  const path = join(directory, randomBytes(4).toString("hex"));
  await writeFile(path, "");
  // Whatever user the container runs as may write it; the umask would take that away.
  await chmod(path, 0o666);
  return path;
}

/** What an ended container has to say, from its file or, where its policy says so, from the end of its log. */
export async function readTerminationMessage(container: ObservedContainer): Promise<string> {
  const inside = container.annotations[Annotations.terminationMessagePath];
  const file = container.mounts.find((m) => m.containerPath === inside)?.hostPath;
  const message = file === undefined ? "" : await readHead(file);
  const useLog = container.annotations[Annotations.terminationMessagePolicy] === "FallbackToLogsOnError";
  if (message !== "" || !useLog || container.exitCode === 0) return message;
  return await readLogEnd(container.logPath);
}

async function readHead(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_MESSAGE_BYTES), 0, MAX_MESSAGE_BYTES, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    // The file went with the pod's folder: there is no message.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

async function readLogEnd(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  const bare = lines.slice(-MAX_LOG_MESSAGE_LINES).map((line) => line.split(" ").slice(3).join(" "));
  return `${bare.join("\n")}\n`.slice(-MAX_LOG_MESSAGE_BYTES);
}
