/**
 * What the runtime must remember of each sandbox beyond what Docker keeps: how its network was made, so that it can be
 * given back after a restart of the kubelet or after somebody removed the container. Owns DIRECTORY/sandboxes/ID/:
 *
 *   sandbox.json   StoredSandbox, replaced atomically
 *   resolv.conf    mounted into the pod's containers
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Attachment } from "../cni/cni.ts";
import type { CniResult } from "../cni/cni-result.ts";
import type { SandboxRecord } from "./identity.ts";

/** A network that was asked for; without a result, its ADD may have got anywhere. */
export interface StoredNetwork {
  readonly attachment: Omit<Attachment, "netns">;
  readonly result?: CniResult;
}

export interface StoredSandbox {
  readonly record: SandboxRecord;
  /** Epoch milliseconds. */
  readonly createdAt: number;
  /** Absent for the host's network, and once the network was given back. */
  readonly network?: StoredNetwork;
  /** The sandbox came up with all it needs, and was not stopped. */
  readonly ready: boolean;
}

const ID = /^[0-9a-f]{64}$/;

export class SandboxStore {
  readonly #directory: string;

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, "sandboxes");
  }

  resolvConfPath(id: string): string {
    return join(this.#directory, id, "resolv.conf");
  }

  async write(id: string, sandbox: StoredSandbox): Promise<void> {
    const path = join(this.#directory, id, "sandbox.json");
    await mkdir(join(this.#directory, id), { recursive: true, mode: 0o700 });
    await writeFile(`${path}.new`, JSON.stringify(sandbox), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async writeResolvConf(id: string, text: string): Promise<void> {
    await mkdir(join(this.#directory, id), { recursive: true, mode: 0o700 });
    await writeFile(this.resolvConfPath(id), text, { mode: 0o644 });
  }

  /** undefined when nothing is known of it. */
  async read(id: string): Promise<StoredSandbox | undefined> {
    if (!ID.test(id)) return undefined;
    try {
      return JSON.parse(await readFile(join(this.#directory, id, "sandbox.json"), "utf8")) as StoredSandbox;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  async ids(): Promise<string[]> {
    try {
      return (await readdir(this.#directory)).filter((name) => ID.test(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  async remove(id: string): Promise<void> {
    if (ID.test(id)) await rm(join(this.#directory, id), { recursive: true, force: true });
  }
}
