/** Reads the files that fileKeyRef names, out of the pod's volumes and out of nothing else. */
import { constants } from "node:fs";
import { type FileHandle, open, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Container, FileKeySelector } from "@knarr/api/generated/types/core-v1.ts";
import { ContainerConfigError } from "../core/config-error.ts";
import { readEnvFile } from "../core/env-file.ts";
import type { MountedVolume } from "../volumes/volume.ts";

/** A container could write a file without end; nobody needs that many variables. */
const MAX_FILE_BYTES = 1024 * 1024;

/** The value of every fileKeyRef of a container, by selector; undefined for what is optional and not there. */
export async function readFileKeys(
  container: Container,
  volumes: ReadonlyMap<string, MountedVolume>,
): Promise<Map<FileKeySelector, string | undefined>> {
  const values = new Map<FileKeySelector, string | undefined>();
  for (const { valueFrom } of container.env ?? []) {
    const selector = valueFrom?.fileKeyRef;
    if (selector === undefined) continue;
    const volume = volumes.get(selector.volumeName)?.path;
    if (volume === undefined) {
      throw new ContainerConfigError(`cannot find the volume "${selector.volumeName}" referenced by FileKeyRef`);
    }
    values.set(selector, await readKey(selector, volume));
  }
  return values;
}

async function readKey(selector: FileKeySelector, volume: string): Promise<string | undefined> {
  const { path, key, optional = false } = selector;
  const text = await readInside(volume, path);
  if (text === undefined) {
    if (optional) return undefined;
    throw new ContainerConfigError(
      `environment variable file "${path}" not found in volume "${selector.volumeName}" for key "${key}"`,
    );
  }
  let value: string | undefined;
  try {
    value = readEnvFile(text, key);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ContainerConfigError(`couldn't parse env file "${path}": ${why}`);
  }
  if (value === undefined && !optional) {
    throw new ContainerConfigError(`environment variable key "${key}" not found in file "${path}"`);
  }
  return value;
}

/** undefined when there is no such file. What was opened is checked, not its name: containers can change names meanwhile. */
async function readInside(volume: string, path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(join(volume, path), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new ContainerConfigError(`couldn't open env file "${path}": ${code}`);
  }
  try {
    const opened = await readlink(`/proc/self/fd/${file.fd}`);
    const inside = opened.startsWith(`${await realpath(volume)}/`);
    const stat = await file.stat();
    if (!inside || !stat.isFile()) throw new ContainerConfigError(`env file "${path}" is no file of the volume`);
    if (stat.size > MAX_FILE_BYTES)
      throw new ContainerConfigError(`env file "${path}" is larger than ${MAX_FILE_BYTES} bytes`);
    return (await file.readFile()).toString("utf8");
  } finally {
    await file.close();
  }
}
