/**
 * Keeps container logs within --container-log-max-size and -max-files: the current file is renamed, the runtime told to
 * open a new one, older files are compressed, the oldest removed.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { quantityValue } from "@knarr/apimachinery/quantity.ts";
import type { Runtime } from "@knarr/cri/runtime.ts";
import { isRuntimeNotFound } from "@knarr/cri/runtime-error.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Config } from "../config.ts";
import { Labels } from "../core/observed-pod.ts";
import type { Relist } from "./relist.ts";

export interface LogRotationOptions {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly relist: Relist;
  readonly clock: Clock;
  readonly log: Logger;
}

const PERIOD_MS = 10_000;

export async function runLogRotation(options: LogRotationOptions, signal: AbortSignal): Promise<void> {
  const { clock, config, log, relist, runtime } = options;
  const maxBytes = quantityValue(config.containerLogMaxSize);
  /** Of the containers that run: a log's place is part of a container and never changes. */
  let paths = new Map<string, string>();
  while (!signal.aborted) {
    await clock.sleep(PERIOD_MS, signal).catch(() => undefined);
    const known = paths;
    paths = new Map();
    for (const container of relist.snapshot?.containers ?? []) {
      if (signal.aborted) return;
      if (container.state !== "running" || container.labels[Labels.podUid] === undefined) continue;
      try {
        const logPath = known.get(container.id) ?? (await runtime.containerStatus(container.id, { signal })).logPath;
        paths.set(container.id, logPath);
        await rotateLog(runtime, container.id, logPath, { maxBytes, maxFiles: config.containerLogMaxFiles });
      } catch (error) {
        if (isRuntimeNotFound(error)) continue;
        log.warn({ err: error, container: container.id }, "log not rotated");
      }
    }
  }
}

export interface RotationLimits {
  readonly maxBytes: number;
  readonly maxFiles: number;
}

/** Rotates one log if it is too large. Idempotent: what an interrupted run left is finished by the next. */
export async function rotateLog(
  runtime: Pick<Runtime, "reopenContainerLog">,
  containerId: string,
  path: string,
  limits: RotationLimits,
): Promise<void> {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  // A log that was renamed and never opened again (we died in between): the runtime still writes to the old file.
  if (info === undefined) return await runtime.reopenContainerLog(containerId);
  if (info.size < limits.maxBytes) return;
  const old = await rotatedLogs(path);
  for (const name of old.slice(0, Math.max(0, old.length - (limits.maxFiles - 2)))) await rm(name, { force: true });
  for (const name of old) if (!name.endsWith(".gz")) await compress(name);
  const stamp = new Date().toISOString().replaceAll(/[-:T]/g, "").replace(/\..*/, "");
  await rename(path, `${path}.${stamp.slice(0, 8)}-${stamp.slice(8)}`);
  await runtime.reopenContainerLog(containerId);
}

/** The rotated files of a log, oldest first. */
export async function rotatedLogs(path: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  const own = names.filter((name) => name.startsWith(`${basename(path)}.`) && !name.endsWith(".tmp"));
  return own.toSorted().map((name) => join(dirname(path), name));
}

async function compress(path: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await pipeline(createReadStream(path), createGzip(), createWriteStream(temporary));
  } catch (error) {
    // Removed by the pod's clean-up meanwhile.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rename(temporary, `${path}.gz`);
  await rm(path, { force: true });
}
