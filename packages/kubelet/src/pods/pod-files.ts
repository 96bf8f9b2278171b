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
/** All containers of a pod together. */
const MAX_POD_MESSAGE_BYTES = 12 * 1024;
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
export async function readTerminationMessage(container: ObservedContainer, containers: number): Promise<string> {
  const limit = Math.min(MAX_MESSAGE_BYTES, Math.floor(MAX_POD_MESSAGE_BYTES / Math.max(1, containers)));
  const inside = container.annotations[Annotations.terminationMessagePath];
  const file = container.mounts.find((m) => m.containerPath === inside)?.hostPath;
  const message = file === undefined ? "" : await readHead(file, limit);
  const useLog = container.annotations[Annotations.terminationMessagePolicy] === "FallbackToLogsOnError";
  if (message !== "" || !useLog || container.exitCode === 0) return message;
  return await readLogEnd(container.logPath, Math.min(MAX_LOG_MESSAGE_BYTES, limit));
}

async function readHead(path: string, limit: number): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(limit), 0, limit, 0);
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

/** Enough of a log's end for the lines wanted, with what the log format adds to them. */
const LOG_TAIL_BYTES = 64 * 1024;

async function readLogEnd(path: string, limit: number): Promise<string> {
  const text = await readTail(path, LOG_TAIL_BYTES);
  const lines: string[] = [];
  let part = "";
  for (const line of text.split("\n")) {
    const [, , tag, ...words] = line.split(" ");
    if (tag !== "F" && tag !== "P") continue;
    part += words.join(" ");
    if (tag === "P") continue;
    lines.push(`${part}\n`);
    part = "";
  }
  if (part !== "") lines.push(part);
  const tail = Buffer.from(lines.slice(-MAX_LOG_MESSAGE_LINES).join(""));
  return tail.subarray(Math.max(0, tail.length - limit)).toString("utf8");
}

/** The end of a file from its first whole line on; "" when there is no file. */
async function readTail(path: string, maxBytes: number): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const start = Math.max(0, size - maxBytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
      const text = buffer.toString("utf8", 0, bytesRead);
      return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
