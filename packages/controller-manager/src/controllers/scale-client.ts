/**
 * The scale subresource of whatever has one, found by discovery: how many replicas are wanted, how many there are, and
 * which pods they are. Source: client-go/scale, api-conventions#types-kinds
 */
import type { Scale } from "@knarr/api/generated/types/autoscaling-v1.ts";
import type { APIResourceList } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type ObjectKey, objectPath, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { decodeJson } from "@knarr/client/codec.ts";
import type { Clock } from "@knarr/daemon/clock.ts";

/** What a discovery answer is believed for. */
const TTL_MS = 30_000;

export interface ScaleTarget {
  readonly apiVersion: string;
  readonly kind: string;
}

export class NoScaleError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NoScaleError";
  }
}

export class ScaleClient {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #lists = new Map<string, { atMs: number; list: Promise<APIResourceList> }>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Throws NoScaleError when the kind is unknown or can't be scaled, StatusError when the object can't be read. */
  async get(target: ScaleTarget, key: ObjectKey, signal: AbortSignal): Promise<Scale> {
    const path = objectPath(await this.#resource(target, signal), key, "scale");
    const { body } = await this.#client.request({ method: "GET", path, signal });
    return decodeJson(body) as Scale;
  }

  async update(target: ScaleTarget, scale: Scale, signal: AbortSignal): Promise<void> {
    const ref = (await this.#resource(target, signal)) as ResourceRef<Scale>;
    await this.#client.update(ref, scale, { subresource: "scale", signal });
  }

  async #resource({ apiVersion, kind }: ScaleTarget, signal: AbortSignal): Promise<ResourceRef<unknown>> {
    const slash = apiVersion.indexOf("/");
    const [group, version] = slash < 0 ? ["", apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
    let resources: APIResourceList["resources"] = [];
    try {
      ({ resources } = await this.#list(group === "" ? `/api/${version}` : `/apis/${apiVersion}`, signal));
    } catch (error) {
      // A group that nobody serves: the kind is unknown, too.
      if (!isNotFound(error)) throw error;
    }
    const found = resources.find(({ name, kind: of }) => of === kind && !name.includes("/"));
    if (found === undefined) throw new NoScaleError(`no matches for kind "${kind}" in group "${group}"`);
    if (!resources.some(({ name }) => name === `${found.name}/scale`)) {
      const qualified = group === "" ? found.name : `${found.name}.${group}`;
      throw new NoScaleError(`${qualified} does not implement the scale subresource`);
    }
    return { group, version, resource: found.name, kind, namespaced: found.namespaced };
  }

  #list(path: string, signal: AbortSignal): Promise<APIResourceList> {
    const now = this.#clock.monotonicMs();
    const known = this.#lists.get(path);
    if (known !== undefined && now - known.atMs < TTL_MS) return known.list;
    const list = this.#client
      .request({ method: "GET", path, headers: { accept: "application/json" }, signal })
      .then(({ body }) => decodeJson(body) as APIResourceList);
    this.#lists.set(path, { atMs: now, list });
    // A failure is told to whoever asked, and not remembered.
    list.catch(() => this.#lists.delete(path));
    return list;
  }
}
