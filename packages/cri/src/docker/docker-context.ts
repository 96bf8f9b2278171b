/** What the parts of the Docker runtime share: the connection, the folders and the engine's traits. */
import type { Cni } from "../cni/cni.ts";
import type { CallOptions } from "../runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../runtime-error.ts";
import type { EngineTraits } from "./create-requests.ts";
import type { DockerEngine } from "./docker-engine.ts";
import type { EngineInfo, InspectedContainer, ListedContainer } from "./engine-types.ts";
import { Label, ownedOf } from "./identity.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface DockerContext {
  readonly engine: DockerEngine;
  readonly cni: Cni;
  /** The state folder, by which this kubelet's containers are told from another's. */
  readonly owner: string;
  readonly cniConfDir: string;
  readonly sandboxImage: string;
  readonly store: SandboxStore;
  readonly traits: (options?: CallOptions) => Promise<EngineTraits>;
}

const RECURSIVE_READ_ONLY_SINCE = [1, 44] as const;

export function traitsOf(info: EngineInfo, apiVersion: string): EngineTraits {
  const [major = 0, minor = 0] = apiVersion.split(".").map(Number);
  const [wantMajor, wantMinor] = RECURSIVE_READ_ONLY_SINCE;
  const security = (info.SecurityOptions ?? []).map((option) => option.split(",", 1)[0]);
  return {
    cgroupDriver: info.CgroupDriver === "systemd" ? "systemd" : "cgroupfs",
    cgroupVersion: info.CgroupVersion === "2" ? 2 : 1,
    hasAppArmor: security.includes("name=apparmor"),
    hasSeLinux: security.includes("name=selinux"),
    recursiveReadOnly: major > wantMajor || (major === wantMajor && minor >= wantMinor),
  };
}

type Owner = Pick<DockerContext, "engine" | "owner">;

/** All containers of a kind that carry our label, in any state. */
export async function listOwned(
  { engine, owner }: Owner,
  kind: "sandbox" | "container",
  labels: readonly string[],
  options?: CallOptions,
): Promise<ListedContainer[]> {
  const filters = { label: [`${Label.kind}=${kind}`, ...labels] };
  const listed = await engine.call(
    async (docker, abortSignal) =>
      (await docker.listContainers({ all: true, filters, abortSignal })) as unknown as ListedContainer[],
    options,
  );
  return listed.filter((item) => ownedOf(item.Labels, owner) !== undefined);
}

/** Throws NotFound for what is not there, and for what is there and not ours: nothing else may ever be touched. */
export async function inspectOwned<K extends "sandbox" | "container">(
  { engine, owner }: Owner,
  kind: K,
  id: string,
  options?: CallOptions,
) {
  // A name or a shortened id would do for Docker.
  const inspected = await engine.call(
    async (docker, abortSignal) =>
      (await docker.getContainer(encodeURIComponent(id)).inspect({ abortSignal })) as unknown as InspectedContainer,
    options,
  );
  const owned = ownedOf(inspected.Config.Labels, owner);
  if (inspected.Id !== id || owned?.kind !== kind) {
    throw new RuntimeError("NotFound", `an error occurred when try to find ${kind} ${JSON.stringify(id)}: not found`);
  }
  return { inspected, owned: owned as Extract<typeof owned, { kind: K }> };
}

/** Stopping or removing what is not there is done already. */
export async function ignoringNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isRuntimeNotFound(error)) throw error;
  }
}

/** Removes a container by force with the volumes that Docker made for it. Idempotent. */
export async function removeForced(engine: DockerEngine, id: string, options?: CallOptions): Promise<void> {
  const remove = () =>
    engine.call(
      (docker, abortSignal) => docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
      options,
    );
  try {
    await ignoringNotFound(remove());
  } catch (error) {
    // Another removal is on its way; it may yet fail, so its end is waited for.
    if (!(error instanceof RuntimeError) || !/already in progress/.test(error.detail)) throw error;
    await ignoringNotFound(
      engine.call(
        (docker, abortSignal) => docker.getContainer(id).wait({ condition: "removed", abortSignal }),
        options,
      ),
    );
  }
}

/** Kills without waiting for a grace, and returns when it is over. Idempotent. */
export async function killNow(engine: DockerEngine, id: string, options?: CallOptions): Promise<void> {
  try {
    await engine.call(
      (docker, abortSignal) => docker.getContainer(id).kill({ signal: "SIGKILL", abortSignal }),
      options,
    );
  } catch (error) {
    if (isRuntimeNotFound(error)) return;
    // Not running: nothing to kill.
    if (!(error instanceof RuntimeError) || error.code !== "FailedPrecondition") throw error;
  }
  await ignoringNotFound(
    engine.call(
      (docker, abortSignal) => docker.getContainer(id).wait({ condition: "not-running", abortSignal }),
      options,
    ),
  );
}
