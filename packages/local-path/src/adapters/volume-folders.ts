/**
 * The folders of this node's volumes:
 *
 *   storage/pvc-UID             a volume's data
 *   storage/.pending/pvc-UID    written before the folder is made and removed when the volume's object exists, with the
 *                               claim's name inside: what a crash in between leaves is found by it
 *   storage/.trash/pvc-UID.N    a folder on its way out: moved here at once, removed in as long as that takes
 *
 * Never removes a folder that is not one of these; a volume that was kept (Retain) has no mark and is left alone for ever.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface Pending {
  /** "pvc-UID" */
  readonly folder: string;
  readonly namespace: string;
  readonly name: string;
}

export class VolumeFolders {
  readonly storageDir: string;
  readonly #pending: string;
  readonly #trash: string;
  #sequence = 0;
  #emptying: Promise<void> = Promise.resolve();

  constructor(storageDir: string) {
    this.storageDir = storageDir;
    this.#pending = join(storageDir, ".pending");
    this.#trash = join(storageDir, ".trash");
  }

  path(folder: string): string {
    return join(this.storageDir, folder);
  }

  async prepare(): Promise<void> {
    // Only root looks in from outside; pods see their folder alone.
    await mkdir(this.storageDir, { recursive: true, mode: 0o711 });
    await mkdir(this.#pending, { recursive: true, mode: 0o700 });
    await mkdir(this.#trash, { recursive: true, mode: 0o700 });
  }

  /** Makes the folder, for whatever user a pod runs as; one that is there already is taken as it is. */
  async make({ folder, namespace, name }: Pending): Promise<void> {
    await writeFile(join(this.#pending, folder), JSON.stringify({ namespace, name }), { mode: 0o600 });
    await mkdir(this.path(folder), { recursive: true });
    await chmod(this.path(folder), 0o777);
  }

  async exists(folder: string): Promise<boolean> {
    return await stat(this.path(folder)).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return false;
        throw error;
      },
    );
  }

  /** The volume's object exists. */
  async settle(folder: string): Promise<void> {
    await rm(join(this.#pending, folder), { force: true });
  }

  async pending(): Promise<Pending[]> {
    const names = await readdir(this.#pending);
    return await Promise.all(
      names.map(async (folder) => {
        const text = await readFile(join(this.#pending, folder), "utf8");
        return { folder, ...claimIn(text) };
      }),
    );
  }

  /** Moves the folder out of the way; the data is gone for good. Idempotent. */
  async discard(folder: string): Promise<void> {
    try {
      await rename(this.path(folder), join(this.#trash, `${folder}.${process.pid}.${this.#sequence++}`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  /** Removes what was discarded, also before a crash. */
  emptyTrash(): Promise<void> {
    // One after the other: two would trip over each other's removals.
    const result = this.#emptying.then(() => this.#empty());
    this.#emptying = result.catch(() => undefined);
    return result;
  }

  async #empty(): Promise<void> {
    for (const name of await readdir(this.#trash)) {
      await rm(join(this.#trash, name), { recursive: true, force: true, maxRetries: 2 });
    }
  }

  /** Whether anything has the folder mounted in this mount namespace, as a pod's volume is. */
  async isMounted(folder: string): Promise<boolean> {
    const { dev } = await stat(this.storageDir);
    const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
    const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" "));
    return lines.some((fields) => fields[2] === device && fields[3]?.endsWith(`/${folder}`) === true);
  }
}

/** A mark cut short by a crash names no claim: there is none to wait for. */
function claimIn(text: string): { namespace: string; name: string } {
  try {
    const { namespace, name } = JSON.parse(text) as { namespace?: unknown; name?: unknown };
    return { namespace: String(namespace ?? ""), name: String(name ?? "") };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { namespace: "", name: "" };
  }
}
