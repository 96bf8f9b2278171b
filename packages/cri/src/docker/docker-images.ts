/** Images on Docker: list, status, pull with credentials and a deadline without progress, removal, disk usage. */
import { performance } from "node:perf_hooks";
import type Docker from "dockerode";
import type { CallOptions, ImageService, PullOptions } from "../runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../runtime-error.ts";
import type { FilesystemUsage, Image, RegistryAuth } from "../types.ts";
import type { DockerEngine } from "./docker-engine.ts";
import type { EngineImage, EngineInfo } from "./engine-types.ts";
import { PullReader } from "./pull-progress.ts";

export interface DockerImagesOptions {
  readonly engine: DockerEngine;
  readonly pullTimeoutMs: number;
  /** A pull that brings nothing new for so long is given up. */
  readonly pullStallMs: number;
  /** Every pod needs it: it is not to be collected while no pod happens to run. */
  readonly sandboxImage: string;
}

const isNamed = (name: string) => !name.startsWith("<none>");

export function imageOf(image: EngineImage, pinnedName: string): Image {
  const repoTags = (image.RepoTags ?? []).filter(isNamed);
  const repoDigests = (image.RepoDigests ?? []).filter(isNamed);
  return {
    id: image.Id,
    repoTags,
    repoDigests,
    sizeBytes: image.Size,
    ...userOf(image.Config?.User ?? ""),
    pinned: [...repoTags, ...repoDigests].includes(pinnedName),
  };
}

/** "1000:1000" and "1000" are a number, "web:web" and "web" a name, "" is neither. */
function userOf(user: string): Pick<Image, "uid" | "username"> {
  const [name = ""] = user.split(":", 1);
  if (name === "") return { uid: undefined, username: "" };
  return /^\d+$/.test(name) ? { uid: Number(name), username: "" } : { uid: undefined, username: name };
}

/** What dockerode puts into X-Registry-Auth. `auth` is base64 of "user:password". */
export function engineAuth(auth: RegistryAuth | undefined): Docker.AuthConfig | { identitytoken: string } | undefined {
  if (auth === undefined) return undefined;
  const [user = "", ...secret] = Buffer.from(auth.auth ?? "", "base64")
    .toString()
    .replace(/\0+$/, "")
    .split(":");
  const decoded = (auth.auth ?? "") === "" ? {} : { username: user, password: secret.join(":") };
  const token = {
    ...((auth.identityToken ?? "") === "" ? {} : { identitytoken: auth.identityToken }),
    ...((auth.registryToken ?? "") === "" ? {} : { registrytoken: auth.registryToken }),
  };
  return {
    username: auth.username ?? decoded.username ?? "",
    password: auth.password ?? decoded.password ?? "",
    serveraddress: auth.serverAddress ?? "",
    ...token,
  } as Docker.AuthConfig;
}

/** Docker pulls every tag of a name without one. */
export function pullReference(image: string): { fromImage: string; tag?: string } {
  if (image.includes("@")) return { fromImage: image };
  const last = image.split("/").at(-1) ?? "";
  const colon = last.lastIndexOf(":");
  if (colon < 0) return { fromImage: image, tag: "latest" };
  return { fromImage: image.slice(0, image.length - last.length + colon), tag: last.slice(colon + 1) };
}

/**
 * Whether a name may become part of a path of the engine's API. What is no reference could lead to another resource
 * (`../containers/prune`), add a query or name another host.
 * Source: distribution/reference's grammar, loosely: the engine judges the rest.
 */
export function isImageReference(name: string): boolean {
  return /^[A-Za-z0-9][\w.:/@+-]*$/.test(name) && !/\/\/|\/$|(?:^|\/)\.{1,2}(?:\/|$)/.test(name);
}

const DISK_USAGE_MAX_AGE_MS = 30_000;

export class DockerImages implements ImageService {
  readonly #engine: DockerEngine;
  readonly #pullTimeoutMs: number;
  readonly #pullStallMs: number;
  readonly #pinnedName: string;
  #usage: { readonly at: number; readonly answer: Promise<FilesystemUsage[]> } | undefined;

  constructor({ engine, pullTimeoutMs, pullStallMs, sandboxImage }: DockerImagesOptions) {
    this.#engine = engine;
    this.#pullTimeoutMs = pullTimeoutMs;
    this.#pullStallMs = pullStallMs;
    const { fromImage, tag } = pullReference(sandboxImage);
    this.#pinnedName = tag === undefined ? fromImage : `${fromImage}:${tag}`;
  }

  async listImages(options?: CallOptions): Promise<Image[]> {
    const images = await this.#engine.call(
      async (docker, abortSignal) =>
        (await docker.listImages({ digests: true, abortSignal })) as unknown as EngineImage[],
      options,
    );
    return images.map((image) => ({ ...imageOf(image, this.#pinnedName), uid: undefined }));
  }

  async imageStatus(image: string, options?: CallOptions): Promise<Image | undefined> {
    const found = await this.inspect(image, options);
    return found === undefined ? undefined : imageOf(found, this.#pinnedName);
  }

  /** undefined when the image is not there. */
  async inspect(image: string, options?: CallOptions): Promise<EngineImage | undefined> {
    if (!isImageReference(image)) return undefined;
    try {
      // A reference's slashes are part of the path, as in Docker's own client.
      return await this.#engine.get<EngineImage>(
        `/images/${encodeURI(image).replaceAll(/[?#]/g, encodeURIComponent)}/json`,
        options,
      );
    } catch (error) {
      if (isRuntimeNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Pulls an image unless it is there. */
  async ensure(image: string, options?: CallOptions): Promise<void> {
    if ((await this.inspect(image, options)) === undefined) await this.pullImage(image, undefined, options);
  }

  async pullImage(image: string, auth: RegistryAuth | undefined, options: PullOptions = {}): Promise<string> {
    if (!isImageReference(image)) {
      throw new RuntimeError("InvalidArgument", `failed to parse image reference ${JSON.stringify(image)}`);
    }
    const stall = new AbortController();
    const signal = options.signal === undefined ? stall.signal : AbortSignal.any([options.signal, stall.signal]);
    let timer: NodeJS.Timeout | undefined;
    const alive = () => {
      clearTimeout(timer);
      const why = new RuntimeError("DeadlineExceeded", `pulling image ${JSON.stringify(image)} made no progress`);
      timer = setTimeout(() => stall.abort(why), this.#pullStallMs);
    };
    alive();
    try {
      await this.#engine.call(
        (docker, abortSignal) =>
          this.#pull(docker, { image, auth, abortSignal, alive, onProgress: options.onProgress }),
        { signal },
        this.#pullTimeoutMs,
      );
    } catch (error) {
      // Docker answers most refusals of a registry with one status; only its words tell them apart.
      if (error instanceof RuntimeError && error.code === "Unknown") throw pullError(error.detail);
      throw error;
    } finally {
      clearTimeout(timer);
    }
    const found = await this.inspect(image, options);
    if (found === undefined)
      throw new RuntimeError("NotFound", `image ${JSON.stringify(image)} not found after its pull`);
    return found.Id;
  }

  async #pull(
    docker: Docker,
    pull: {
      image: string;
      auth: RegistryAuth | undefined;
      abortSignal: AbortSignal;
      alive: () => void;
      onProgress: PullOptions["onProgress"];
    },
  ): Promise<void> {
    const authconfig = engineAuth(pull.auth);
    // No body: the engine reads none here, and Go's server sees that a client went away only when the body was read to
    // its end. A pull that stands still would go on, and every later one of the image would wait for it.
    const request = { _query: pullReference(pull.image), _body: {}, abortSignal: pull.abortSignal };
    const stream =
      authconfig === undefined
        ? await docker.createImage(request)
        : await docker.createImage(authconfig as Docker.AuthConfig, request);
    const reader = new PullReader();
    let seen = "";
    stream.setEncoding("utf8");
    // Ending the connection ends the pull in the engine too.
    const onAbort = () =>
      (stream as NodeJS.ReadableStream & { destroy(error?: Error): void }).destroy(new Error("aborted"));
    pull.abortSignal.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const chunk of stream) {
        reader.push(chunk as string);
        const now = JSON.stringify(reader.progress);
        if (now === seen) continue;
        seen = now;
        pull.alive();
        pull.onProgress?.(reader.progress);
      }
    } finally {
      pull.abortSignal.removeEventListener("abort", onAbort);
    }
    reader.end();
    if (reader.error !== undefined) throw pullError(reader.error);
  }

  /** By an id all its names go; by a name, the image itself only with its last name. Idempotent. */
  async removeImage(image: string, options?: CallOptions): Promise<void> {
    const found = await this.inspect(image, options);
    if (found === undefined) return;
    const names = [...(found.RepoTags ?? []), ...(found.RepoDigests ?? [])].filter(isNamed);
    // Source: CRI: "removes the image": the kubelet means all of it, whatever it calls it.
    for (const name of names.length === 0 ? [found.Id] : names) {
      try {
        await this.#engine.call((docker, abortSignal) => docker.getImage(name).remove({ abortSignal }), options);
      } catch (error) {
        if (!isRuntimeNotFound(error)) throw error;
      }
    }
  }

  /** Docker measures by walking: the answer is kept for half a minute. */
  async imageFilesystems(options?: CallOptions): Promise<FilesystemUsage[]> {
    const now = performance.now();
    if (this.#usage === undefined || now - this.#usage.at > DISK_USAGE_MAX_AGE_MS) {
      const answer = this.#measure();
      this.#usage = { at: now, answer };
      answer.catch(() => (this.#usage = undefined));
    }
    options?.signal?.throwIfAborted();
    return await this.#usage.answer;
  }

  async #measure(): Promise<FilesystemUsage[]> {
    const [info, usage] = await Promise.all([
      this.#engine.get<EngineInfo>("/info"),
      this.#engine.get<{ LayersSize?: number }>("/system/df"),
    ]);
    const usedBytes = usage.LayersSize ?? 0;
    return [{ mountpoint: info.DockerRootDir, timestamp: Date.now(), usedBytes, inodesUsed: 0 }];
  }
}

/** Docker reports a pull's failure as text only. */
function pullError(text: string): RuntimeError {
  if (/unauthorized|no basic auth credentials|authentication required/i.test(text)) {
    return new RuntimeError("Unauthenticated", text);
  }
  if (/denied/i.test(text)) return new RuntimeError("PermissionDenied", text);
  if (/manifest unknown|not found/i.test(text)) return new RuntimeError("NotFound", text);
  return new RuntimeError("Unknown", text);
}
