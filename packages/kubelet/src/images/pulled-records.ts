/**
 * Remembers with which credentials each image was pulled, so that a pod gets an image that is on the node already only if it
 * could have pulled it itself. Owns `<root-dir>/image_manager`, in upstream's form: an intent before every pull, a record
 * after it. An image with neither was there before (or was loaded by hand): by default everybody may use it.
 * Source: KEP-2535; k8s.io/kubernetes/pkg/kubelet/images/pullmanager
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageService } from "@knarr/cri/runtime.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Credential } from "./pull-secrets.ts";

export const VERIFICATION_POLICIES = [
  "NeverVerify",
  "NeverVerifyPreloadedImages",
  "NeverVerifyAllowlistedImages",
  "AlwaysVerify",
] as const;
export type VerificationPolicy = (typeof VERIFICATION_POLICIES)[number];

export interface PulledRecordsOptions {
  readonly rootDir: string;
  readonly policy: VerificationPolicy;
  /** Repositories of NeverVerifyAllowlistedImages; a `/*` at the end stands for all below. */
  readonly allowlist: readonly string[];
  readonly log: Logger;
}

export interface PullOutcome {
  readonly imageRef: string;
  /** What the registry wanted; undefined: nothing. */
  readonly credential: Credential | undefined;
}

interface SecretUse {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly credentialHash: string;
}

interface Access {
  readonly kubernetesSecrets?: readonly SecretUse[];
  /** It was pulled without credentials: whoever is on the node may use it. */
  readonly nodePodsAccessible?: boolean;
}

interface PulledRecord {
  readonly imageRef: string;
  /** By repository. */
  readonly credentialMapping: Readonly<Record<string, Access>>;
}

const API_VERSION = "kubelet.config.k8s.io/v1beta1";

export class PulledRecords {
  readonly #options: PulledRecordsOptions;
  readonly #pulling: string;
  readonly #pulled: string;
  /** How many pulls of an image are under way. */
  readonly #intents = new Map<string, number>();
  /** Pulls may run side by side, and two of them may end in one image: what is written is written one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: PulledRecordsOptions) {
    this.#options = options;
    this.#pulling = join(options.rootDir, "image_manager", "pulling");
    this.#pulled = join(options.rootDir, "image_manager", "pulled");
  }

  /** Those of images that the runtime does not have any more are forgotten. */
  static async load(options: PulledRecordsOptions, images: Pick<ImageService, "listImages">): Promise<PulledRecords> {
    const records = new PulledRecords(options);
    try {
      await records.prune(new Set((await images.listImages()).map(({ id }) => id)));
    } catch (error) {
      // What is left over costs a little room, and the next start tries again.
      options.log.warn({ err: error }, "records of pulled images not tidied");
    }
    return records;
  }

  /** Whether a pod with these credentials may use `image`, which is there as `imageRef`. */
  async mayUse(image: string, imageRef: string, credentials: readonly Credential[]): Promise<boolean> {
    const { policy, allowlist } = this.#options;
    const repository = repositoryOf(image);
    if (policy === "NeverVerify") return true;
    if (policy === "NeverVerifyAllowlistedImages" && isAllowed(repository, allowlist)) return true;
    const record = await this.#read(imageRef);
    if (policy === "NeverVerifyPreloadedImages" && record === undefined) return !(await this.#wasIntended(image));
    const access = record?.credentialMapping[repository];
    if (access === undefined) return false;
    if (access.nodePodsAccessible === true) return true;
    const known = new Set(access.kubernetesSecrets?.map((use) => use.credentialHash));
    return credentials.some((credential) => known.has(hashOf(credential)));
  }

  /** A pull begins: should this kubelet die in it, the image is known not to have been there before. */
  begin(image: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#intents.has(image)) {
        await write(this.#pulling, image, { kind: "ImagePullIntent", apiVersion: API_VERSION, image });
      }
      this.#intents.set(image, (this.#intents.get(image) ?? 0) + 1);
    });
  }

  /** `done` is absent when the pull failed. Never throws: the image is there, whatever becomes of the note about it. */
  end(image: string, done?: PullOutcome): Promise<void> {
    return this.#inTurn(async () => {
      const left = (this.#intents.get(image) ?? 1) - 1;
      if (left > 0) this.#intents.set(image, left);
      else this.#intents.delete(image);
      try {
        if (done !== undefined) await this.#record(image, done.imageRef, done.credential);
        if (left <= 0) await rm(join(this.#pulling, fileOf(image)), { force: true });
      } catch (error) {
        // A full or failing disk. The intent's file stays, which says that the image was not there before: pods that ask
        // for it pull it again. Source: pullmanager RecordImagePulled
        this.#options.log.error({ err: error, image }, "record of a pulled image not written");
      }
    });
  }

  /** Forgets images that the runtime does not have any more. */
  async prune(imageRefs: ReadonlySet<string>): Promise<void> {
    const kept = new Set([...imageRefs].map(fileOf));
    // Nothing was ever pulled.
    for (const name of await readdir(this.#pulled).catch(() => [] as string[])) {
      if (!kept.has(name)) await rm(join(this.#pulled, name), { force: true });
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    // Whose work failed hears of it; the next one's turn comes all the same.
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #record(image: string, imageRef: string, credential: Credential | undefined): Promise<void> {
    const before = await this.#read(imageRef);
    const repository = repositoryOf(image);
    const access = before?.credentialMapping[repository] ?? {};
    const record = {
      kind: "ImagePulledRecord",
      apiVersion: API_VERSION,
      lastUpdatedTime: new Date().toISOString(),
      imageRef,
      credentialMapping: { ...before?.credentialMapping, [repository]: widened(access, credential) },
    };
    await write(this.#pulled, imageRef, record);
  }

  async #wasIntended(image: string): Promise<boolean> {
    return this.#intents.has(image) || (await read(join(this.#pulling, fileOf(image)))) !== undefined;
  }

  async #read(imageRef: string): Promise<PulledRecord | undefined> {
    const text = await read(join(this.#pulled, fileOf(imageRef)));
    if (text === undefined) return undefined;
    try {
      const record = JSON.parse(text) as Partial<PulledRecord>;
      return { imageRef, credentialMapping: record.credentialMapping ?? {} };
    } catch (error) {
      // A record that can't be read lets nobody in: the image is pulled again.
      this.#options.log.warn({ err: error, imageRef }, "record of a pulled image is damaged");
      return { imageRef, credentialMapping: {} };
    }
  }
}

function widened(access: Access, credential: Credential | undefined): Access {
  if (credential === undefined || access.nodePodsAccessible === true) return { nodePodsAccessible: true };
  const use = { ...credential.source, credentialHash: hashOf(credential) };
  const same = (one: SecretUse) => one.uid === use.uid && one.namespace === use.namespace && one.name === use.name;
  return { kubernetesSecrets: [...(access.kubernetesSecrets ?? []).filter((one) => !same(one)), use] };
}

/** Without tag and digest. */
function repositoryOf(image: string): string {
  return image.replace(/@[^@]*$/, "").replace(/:[^:/]*$/, "");
}

function isAllowed(repository: string, allowlist: readonly string[]): boolean {
  return allowlist.some((entry) =>
    entry.endsWith("/*") ? repository.startsWith(entry.slice(0, -1)) : repository === entry,
  );
}

function hashOf({ auth }: Credential): string {
  return createHash("sha256").update(JSON.stringify(auth)).digest("hex");
}

function fileOf(name: string): string {
  return `sha256-${createHash("sha256").update(name).digest("hex")}`;
}

async function read(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** Whole or not at all. */
async function write(folder: string, name: string, value: object): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const path = join(folder, fileOf(name));
  const fresh = `${path}.tmp`;
  await writeFile(fresh, JSON.stringify(value), { mode: 0o600 });
  await rename(fresh, path);
}
