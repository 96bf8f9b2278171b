/**
 * Makes sure that a container's image is there, by its pull policy, with back-off per pod and image (10 s to 300 s).
 * Owns no state but the back-off and the pulls under way: the same image is pulled once however many ask.
 */
import type { Container, Pod, Secret } from "@knarr/api/generated/types/core-v1.ts";
import type { ImageService } from "@knarr/cri/runtime.ts";
import { RuntimeError } from "@knarr/cri/runtime-error.ts";
import type { Image } from "@knarr/cri/types.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { ContainerConfigError } from "../core/config-error.ts";
import { CrashBackoff, type Moment } from "../core/crash-backoff.ts";
import { pullPolicy, withDefaultTag } from "../core/image-name.ts";
import type { ContainerEvent } from "../pods/pod-events.ts";
import { type Credential, credentialsFor } from "./pull-secrets.ts";
import type { PulledRecords, PullOutcome } from "./pulled-records.ts";

export interface ImagePullerOptions {
  readonly images: ImageService;
  readonly clock: Clock;
  /** How many pulls may run at once. */
  readonly maxParallel: number;
  readonly records: PulledRecords;
}

export interface PullRequest {
  readonly pod: Pod;
  readonly container: Container;
  readonly secrets: readonly Secret[];
  readonly event: ContainerEvent;
  readonly signal: AbortSignal;
}

/** Why an image is not there; `reason` is the container's waiting reason. `retryMs`: when to try again. */
export class ImageError extends Error {
  readonly reason: string;
  readonly retryMs: number;
  constructor(reason: string, message: string, retryMs: number) {
    super(message);
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

/** How long a failed pull shows as ErrImagePull before ImagePullBackOff takes its place. */
const SHOW_FAILURE_MS = 2_000;

export class ImagePuller {
  readonly #options: ImagePullerOptions;
  readonly #backoff = new CrashBackoff();
  readonly #lastFailure = new Map<string, { at: number; reason: string; message: string }>();
  readonly #pulling = new Map<string, Pull>();
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(options: ImagePullerOptions) {
    this.#options = options;
  }

  /** The image, and the reference to create the container with. Throws ImageError, or ContainerConfigError. */
  async ensure(request: PullRequest): Promise<{ image: Image; ref: string }> {
    const { container, event } = request;
    const name = container.image ?? "";
    const ref = this.#parse(name, event);
    const policy = pullPolicy(name, container.imagePullPolicy);
    const present = await this.#inspect(name, ref, request);
    const credentials = credentialsFor(ref, request.secrets);
    const usable =
      present !== undefined &&
      policy !== "Always" &&
      (await this.#options.records.mayUse(ref, present.id, credentials));
    if (usable) {
      event("Normal", "Pulled", `Container image "${name}" already present on machine and can be accessed by the pod`);
      return { image: present, ref: present.id };
    }
    if (policy === "Never") {
      const message = `Container image "${name}" is not present with pull policy of Never`;
      event("Warning", "ErrImageNeverPull", message);
      throw new ImageError("ErrImageNeverPull", message, 10_000);
    }
    return await this.#pull(request, name, { ref, credentials });
  }

  async #inspect(name: string, ref: string, { event, signal }: PullRequest): Promise<Image | undefined> {
    try {
      return await this.#options.images.imageStatus(ref, { signal });
    } catch (error) {
      if (!(error instanceof RuntimeError) || signal.aborted) throw error;
      const message = `Failed to inspect image "${name}": ${error.message}`;
      event("Warning", "InspectFailed", message);
      throw new ImageError("ImageInspectError", message, SHOW_FAILURE_MS);
    }
  }

  #parse(name: string, event: ContainerEvent): string {
    try {
      return withDefaultTag(name);
    } catch (error) {
      if (error instanceof ContainerConfigError) event("Warning", "InspectFailed", error.message);
      throw error;
    }
  }

  async #pull(request: PullRequest, name: string, wanted: Wanted): Promise<{ image: Image; ref: string }> {
    const { clock } = this.#options;
    const key = `${request.pod.metadata.uid}_${name}`;
    const failure = this.#lastFailure.get(key);
    const waitMs = failure === undefined ? 0 : this.#backoff.remainingMs(key, failure.at, steady(clock));
    if (failure !== undefined && waitMs > 0) {
      request.event("Normal", "BackOff", `Back-off pulling image "${name}"`);
      throw new ImageError(
        "ImagePullBackOff",
        `Back-off pulling image "${name}": ${failure.reason}: ${failure.message}`,
        waitMs,
      );
    }
    request.event("Normal", "Pulling", `Pulling image "${name}"`);
    const started = clock.monotonicMs();
    try {
      const { image, pullMs } = await this.#pullOnce(request, wanted);
      const totalMs = clock.monotonicMs() - started;
      request.event(
        "Normal",
        "Pulled",
        `Successfully pulled image "${name}" in ${goMillis(pullMs)} (${goMillis(totalMs)} including waiting). Image size: ${image.sizeBytes} bytes.`,
      );
      this.#lastFailure.delete(key);
      this.#backoff.forget(key);
      return { image, ref: image.id };
    } catch (error) {
      if (request.signal.aborted) throw error;
      const message = error instanceof Error ? error.message : String(error);
      request.event("Warning", "Failed", `Failed to pull image "${name}": ${message}`);
      const now = clock.monotonicMs();
      this.#backoff.step(key, failure?.at ?? now, now);
      const reason = pullFailure(error);
      this.#lastFailure.set(key, { at: now, reason, message });
      // Looked at again before the back-off is over, so that the pod is seen to wait in ImagePullBackOff.
      throw new ImageError(reason, message, Math.min(SHOW_FAILURE_MS, this.#backoff.delayMs(key)));
    }
  }

  /** `pullMs` counts from when the pull's turn came. */
  async #pullOnce(request: PullRequest, wanted: Wanted): Promise<{ image: Image; pullMs: number }> {
    const { images, clock } = this.#options;
    const { ref, credentials } = wanted;
    let started = clock.monotonicMs();
    // Pods with different credentials don't share a pull, or one could use what it may not read.
    const key = JSON.stringify([ref, credentials]);
    let pull = this.#pulling.get(key);
    if (pull === undefined) {
      const stop = new AbortController();
      const promise = this.#inTurn(stop.signal, () => {
        started = clock.monotonicMs();
        return this.#recorded(wanted, stop.signal);
      });
      pull = { promise, stop, waiting: 0 };
      this.#pulling.set(key, pull);
    }
    pull.waiting++;
    let pulled: string;
    try {
      pulled = await orAbort(pull.promise, request.signal);
    } finally {
      // Nobody wants it any more: a pull that hangs would keep its turn from others.
      if (--pull.waiting === 0) {
        pull.stop.abort();
        if (this.#pulling.get(key) === pull) this.#pulling.delete(key);
      }
    }
    const image = await images.imageStatus(pulled, { signal: request.signal });
    if (image === undefined) throw new Error(`image ${ref} is not there after its pull`);
    return { image, pullMs: clock.monotonicMs() - started };
  }

  /** Pulls, and notes who may use what came. */
  async #recorded(wanted: Wanted, signal: AbortSignal): Promise<string> {
    const { records, images } = this.#options;
    await records.begin(wanted.ref);
    let done: PullOutcome | undefined;
    try {
      const { pulled, credential } = await this.#tryAll(wanted, signal);
      const image = await images.imageStatus(pulled, { signal });
      done = { imageRef: image?.id ?? pulled, credential };
      return pulled;
    } finally {
      await records.end(wanted.ref, done);
    }
  }

  async #tryAll(
    { ref, credentials }: Wanted,
    signal: AbortSignal,
  ): Promise<{ pulled: string; credential: Credential | undefined }> {
    const errors: unknown[] = [];
    for (const credential of [...credentials, undefined]) {
      try {
        return { pulled: await this.#options.images.pullImage(ref, credential?.auth, { signal }), credential };
      } catch (error) {
        signal.throwIfAborted();
        // The next credentials may do; the first error is the one that tells.
        errors.push(error);
      }
    }
    throw errors[0];
  }

  async #inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    while (this.#running >= this.#options.maxParallel) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      try {
        await orAbort(promise, signal);
      } finally {
        this.#waiting.delete(resolve);
      }
    }
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      const [next] = this.#waiting;
      next?.();
    }
  }

  /** Forgets a pod's back-off. */
  forget(uid: string): void {
    this.#backoff.forget(`${uid}_`);
    for (const key of this.#lastFailure.keys()) if (key.startsWith(`${uid}_`)) this.#lastFailure.delete(key);
  }
}

/** "850ms", "1.25s" */
function goMillis(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${Number((ms / 1000).toFixed(3))}s`;
}

/** Runtimes name some failures by the first word of their message. Source: cri-api errors.go */
function pullFailure(error: unknown): string {
  const detail = error instanceof RuntimeError ? error.detail : "";
  return ["RegistryUnavailable", "SignatureValidationFailed"].find((r) => detail.startsWith(r)) ?? "ErrImagePull";
}

interface Wanted {
  readonly ref: string;
  /** Those of the pod that fit the image. */
  readonly credentials: readonly Credential[];
}

interface Pull {
  readonly promise: Promise<string>;
  readonly stop: AbortController;
  /** How many pods wait for it. */
  waiting: number;
}

/** The promise's value, or the signal's reason, whichever comes first. */
async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  // Whoever stopped waiting does not care how it ends.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Failures are timed by the steady clock alone: nobody else's timestamps are compared with them. */
function steady(clock: Clock): Moment {
  return { now: clock.monotonicMs(), monotonicMs: clock.monotonicMs() };
}
