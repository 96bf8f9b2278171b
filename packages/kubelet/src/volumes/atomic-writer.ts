/**
 * Keeps a folder of files equal to a payload so that readers see all of the old files or all of the new ones:
 *
 *   config/..2026_01_02_03_04_05.123456/a.txt    the data, never changed once visible
 *   config/..data -> ..2026_01_02_03_04_05.123456    the only thing that is replaced, by one rename
 *   config/a.txt -> ..data/a.txt                 what users open
 * Source: kubernetes.io/docs/concepts/storage/volumes#configmap (the layout that consumers watch)
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";

export interface PayloadFile {
  readonly data: Buffer;
  readonly mode: number;
  /** Owner; root when absent. */
  readonly uid?: number | undefined;
}

/** Relative path -> file. Paths have no "..", and no component that starts with "..". */
export type Payload = ReadonlyMap<string, PayloadFile>;

const DATA = "..data";
const MAX_PATH = 4096;
const MAX_NAME = 255;

/** Throws for a path that would leave the volume or collide with the writer's own names. */
export function checkPayloadPath(path: string): void {
  const parts = path.split("/");
  if (path === "") throw new Error('invalid path: must not be empty: ""');
  if (path.startsWith("/")) throw new Error(`invalid path: must be relative path: ${path}`);
  if (path.length > MAX_PATH) throw new Error(`invalid path: must be less than or equal to ${MAX_PATH} characters`);
  if (parts.includes("..")) throw new Error(`invalid path: must not contain '..': ${path}`);
  if (parts.some((part) => part.length > MAX_NAME)) {
    throw new Error(`invalid path: filenames must be less than or equal to ${MAX_NAME} characters`);
  }
  if (parts[0]?.startsWith("..") === true) throw new Error(`invalid path: must not start with '..': ${path}`);
}

/** `gid`: the group that may read the files (fsGroup). Returns whether anything changed. */
export async function writeAtomically(directory: string, payload: Payload, gid?: number): Promise<boolean> {
  for (const path of payload.keys()) checkPayloadPath(path);
  const current = await readlink(join(directory, DATA)).catch(() => undefined);
  if (current !== undefined && (await isCurrent(join(directory, current), payload, gid))) {
    await linkNames(directory, payload);
    // A crash may have come between the new link and the removal of the old.
    await removeStale(directory, payload, current);
    return false;
  }
  const stamp = new Date().toISOString().replaceAll(/[-:]/g, "_").replace("T", "_").slice(0, 19);
  const fresh = await mkdtemp(join(directory, `..${stamp}.`));
  await chmod(fresh, 0o755);
  if (gid !== undefined) await chown(fresh, 0, gid);
  for (const [path, file] of payload) await writePayloadFile(fresh, path, file, gid);
  const link = join(directory, `${DATA}_tmp`);
  await rm(link, { force: true });
  await symlink(fresh.slice(directory.length + 1), link);
  await rename(link, join(directory, DATA));
  await linkNames(directory, payload);
  await removeStale(directory, payload, fresh.slice(directory.length + 1));
  return true;
}

async function writePayloadFile(root: string, path: string, file: PayloadFile, gid: number | undefined): Promise<void> {
  const target = join(root, path);
  if (path.includes("/")) await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  await writeFile(target, file.data, { mode: file.mode });
  if (file.uid !== undefined || gid !== undefined) await chown(target, file.uid ?? 0, gid ?? file.uid ?? 0);
  // After the write and the chown: the umask and chown both take bits away.
  await chmod(target, gid === undefined ? file.mode : file.mode | 0o440);
}

async function isCurrent(root: string, payload: Payload, gid: number | undefined): Promise<boolean> {
  const existing = await listFiles(root, "").catch(() => undefined);
  if (existing === undefined || existing.length !== payload.size) return false;
  for (const path of existing) {
    const wanted = payload.get(path);
    if (wanted === undefined) return false;
    const mode = gid === undefined ? wanted.mode : wanted.mode | 0o440;
    if (((await stat(join(root, path))).mode & 0o777) !== mode) return false;
    if (!wanted.data.equals(await readFile(join(root, path)))) return false;
  }
  return true;
}

async function listFiles(root: string, prefix: string): Promise<string[]> {
  const entries = await readdir(join(root, prefix), { withFileTypes: true });
  const nested = await Promise.all(
    entries.map((entry) => {
      const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
      return entry.isDirectory() ? listFiles(root, path) : [path];
    }),
  );
  return nested.flat();
}

function topNames(payload: Payload): Set<string> {
  return new Set([...payload.keys()].map((path) => path.split("/", 1)[0] ?? ""));
}

async function linkNames(directory: string, payload: Payload): Promise<void> {
  for (const name of topNames(payload)) {
    const path = join(directory, name);
    const there = await lstat(path).catch(() => undefined);
    if (there === undefined) await symlink(`${DATA}/${name}`, path);
  }
}

async function removeStale(directory: string, payload: Payload, fresh: string): Promise<void> {
  const names = topNames(payload);
  for (const name of await readdir(directory)) {
    if (names.has(name) || name === DATA || name === fresh) continue;
    if (name.startsWith("..")) await rm(join(directory, name), { recursive: true, force: true });
    else await unlink(join(directory, name));
  }
}
