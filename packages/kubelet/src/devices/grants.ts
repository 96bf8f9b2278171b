/** Which container holds which devices, and which are promised to one whose plugin is being asked. Plain memory. */
import { type AllocateAnswer, deviceIds, type Grant } from "./device-types.ts";

/** Devices on their way to a container. */
export interface Promised {
  readonly podUid: string;
  readonly resource: string;
  readonly devices: readonly string[];
}

export class Grants {
  readonly #grants = new Map<string, Grant>();
  readonly #promised = new Set<Promised>();

  add(grant: Grant): void {
    this.#grants.set(JSON.stringify([grant.podUid, grant.container, grant.resource]), grant);
  }

  get(podUid: string, container: string, resource: string): Grant | undefined {
    return this.#grants.get(JSON.stringify([podUid, container, resource]));
  }

  list(): Grant[] {
    return [...this.#grants.values()];
  }

  ofContainer(podUid: string, container: string): Grant[] {
    return this.list().filter((g) => g.podUid === podUid && g.container === container);
  }

  answers(podUid: string, container: string): AllocateAnswer[] {
    return this.ofContainer(podUid, container).map((grant) => grant.answer);
  }

  hasResource(resource: string): boolean {
    return this.list().some((grant) => grant.resource === resource);
  }

  /** Held or promised. */
  inUse(resource: string): Set<string> {
    const ids = new Set<string>();
    for (const grant of this.list()) if (grant.resource === resource) for (const id of deviceIds(grant)) ids.add(id);
    for (const { resource: r, devices } of this.#promised) if (r === resource) for (const id of devices) ids.add(id);
    return ids;
  }

  /** Keeps others from the devices until the returned function is called. */
  promise(promised: Promised): () => void {
    this.#promised.add(promised);
    return () => void this.#promised.delete(promised);
  }

  /** Returns whether the pod held anything. */
  remove(podUid: string): boolean {
    let had = false;
    for (const [key, grant] of this.#grants) if (grant.podUid === podUid) had = this.#grants.delete(key) || had;
    return had;
  }

  retain(podUids: ReadonlySet<string>): void {
    for (const [key, grant] of this.#grants) if (!podUids.has(grant.podUid)) this.#grants.delete(key);
  }
}
