/** The CNI configuration file: written whole or not at all, only when it differs, removed only when it is ours. */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Sorts before what other networks usually install, after what an administrator puts in front on purpose. */
export const CONFIG_FILE = "10-knarr.conflist";

/** Whether it had to be written. The runtime sees either the old file or the new one. */
export async function writeCniConfig(directory: string, config: Readonly<Record<string, unknown>>): Promise<boolean> {
  const path = join(directory, CONFIG_FILE);
  const text = `${JSON.stringify(config, null, 2)}\n`;
  if ((await readText(path)) === text) return false;
  await mkdir(directory, { recursive: true });
  // Runtimes read *.conf, *.conflist and *.json only.
  const temporary = join(directory, `.${CONFIG_FILE}.tmp`);
  await writeFile(temporary, text, { mode: 0o644, flush: true });
  await rename(temporary, path);
  return true;
}

export async function removeCniConfig(directory: string): Promise<void> {
  await rm(join(directory, CONFIG_FILE), { force: true });
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
