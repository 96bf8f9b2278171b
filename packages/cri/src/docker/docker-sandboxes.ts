/**
 * Sandboxes on Docker. Each is a container of ours that sleeps and holds the pod's namespaces; its network is made by CNI
 * plugins in the namespace that Docker gave it ("none": with a loopback only).
 *
 *   create -> stored -> started -> ADD -> stored as ready          a crash in between leaves one that is never ready, and
 *   stop: containers killed -> DEL -> container killed -> stored   that stop and remove clean up as any other
 *   remove: stopped -> containers removed -> container removed -> forgotten
 */
import { readFile } from "node:fs/promises";
import { addressesOf } from "../cni/cni-result.ts";
import { loadNetwork } from "../cni/network-config.ts";
import { cniArgs, cniCapabilities, POD_INTERFACE } from "../cni/pod-attachment.ts";
import type { CallOptions, SandboxService } from "../runtime.ts";
import { isRuntimeNotFound, RuntimeError } from "../runtime-error.ts";
import type { DnsConfig, Sandbox, SandboxConfig, SandboxFilter, SandboxStatus, StringMap } from "../types.ts";
import { containerState, msOfTime, sandboxOf, sandboxState } from "./container-state.ts";
import { createNamed } from "./create-named.ts";
import { sandboxRequest } from "./create-requests.ts";
import { type DockerContext, inspectOwned, killNow, listOwned, removeForced } from "./docker-context.ts";
import type { DockerImages } from "./docker-images.ts";
import { Label, ownedOf, sandboxName, sandboxRecord } from "./identity.ts";
import type { StoredSandbox } from "./sandbox-store.ts";
import { securityOptions } from "./security-options.ts";

export function renderResolvConf({ servers, searches, options }: DnsConfig): string {
  const lines = [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

export function hasLabels(labels: StringMap, selector: StringMap | undefined): boolean {
  return Object.entries(selector ?? {}).every(([name, value]) => labels[name] === value);
}

/** The selector's part that Docker can search by itself. */
export function engineLabelFilter(selector: StringMap | undefined): string[] {
  return Object.entries(selector ?? {})
    .filter(([name]) => name.startsWith("io.kubernetes."))
    .map(([name, value]) => `${name}=${value}`);
}

export class DockerSandboxes implements SandboxService {
  readonly #context: DockerContext;
  readonly #images: DockerImages;

  constructor(context: DockerContext, images: DockerImages) {
    this.#context = context;
    this.#images = images;
  }

  async runSandbox(config: SandboxConfig, runtimeHandler: string, options: CallOptions = {}): Promise<string> {
    const { engine, owner, sandboxImage, store } = this.#context;
    const traits = await this.#context.traits(options);
    const record = sandboxRecord(config, runtimeHandler);
    const network = record.networkMode === "NODE" ? undefined : await this.#network(config);
    await this.#images.ensure(sandboxImage, options);
    const securityOpt = await securityOptions(config.linux?.securityContext ?? {}, traits.hasAppArmor);
    const request = sandboxRequest({ owner, config, image: sandboxImage, runtimeHandler, securityOpt, traits });
    const id = await createNamed(engine, sandboxName(config.metadata), request, options);
    const stored: StoredSandbox = {
      record,
      createdAt: Date.now(),
      ready: false,
      ...(network === undefined
        ? {}
        : { network: { attachment: { ...network, containerId: id, args: cniArgs(config, id) } } }),
    };
    try {
      await store.write(id, stored);
      await store.writeResolvConf(id, await resolvConfOf(config.dnsConfig));
      await engine.call((docker, abortSignal) => docker.getContainer(id).start({ abortSignal }), options);
      await store.write(id, { ...(await this.#attach(id, stored, options)), ready: true });
      return id;
    } catch (error) {
      // The cleaning has a time of its own: the caller's may be what ended.
      // What it can't clean stays listed as not ready, for the kubelet's own collection.
      await this.removeSandbox(id).catch(() => undefined);
      throw error;
    }
  }

  async #network(config: SandboxConfig) {
    const network = await loadNetwork(this.#context.cniConfDir);
    if (network === undefined) {
      throw new RuntimeError("Unknown", `failed to setup network for sandbox: cni config uninitialized`);
    }
    try {
      return { network, ifName: POD_INTERFACE, capabilities: cniCapabilities(config) };
    } catch (cause) {
      throw new RuntimeError("InvalidArgument", `failed to setup network for sandbox: ${messageOf(cause)}`, { cause });
    }
  }

  async #attach(id: string, stored: StoredSandbox, options: CallOptions): Promise<StoredSandbox> {
    const { network } = stored;
    if (network === undefined) return stored;
    const netns = await this.#netns(id, options);
    if (netns === "") throw new RuntimeError("Unknown", "failed to setup network for sandbox: it has ended already");
    try {
      const result = await this.#context.cni.add({ ...network.attachment, netns }, options.signal);
      if (addressesOf(result).length === 0) throw new Error("the network gave the pod no address");
      return { ...stored, network: { ...network, result } };
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new RuntimeError(
        "Unknown",
        `failed to setup network for sandbox ${JSON.stringify(id)}: ${messageOf(cause)}`,
        {
          cause,
        },
      );
    }
  }

  /** "" when the sandbox does not run. */
  async #netns(id: string, options: CallOptions): Promise<string> {
    try {
      const { inspected } = await inspectOwned(this.#context, "sandbox", id, options);
      return inspected.State.Running && inspected.State.Pid > 0 ? `/proc/${inspected.State.Pid}/ns/net` : "";
    } catch (error) {
      if (isRuntimeNotFound(error)) return "";
      throw error;
    }
  }

  async stopSandbox(id: string, options: CallOptions = {}): Promise<void> {
    const { cni, engine, store } = this.#context;
    await this.#assertOurs(id, options);
    const containers = await listOwned(this.#context, "container", [`${Label.sandbox}=${id}`], options);
    await Promise.all(
      containers.map((c) => (containerState(c.State) === "running" ? killNow(engine, c.Id, options) : undefined)),
    );
    const stored = await store.read(id);
    if (stored?.network !== undefined) {
      const { attachment, result } = stored.network;
      try {
        await cni.del({ ...attachment, netns: await this.#netns(id, options) }, result, options.signal);
      } catch (cause) {
        options.signal?.throwIfAborted();
        throw new RuntimeError(
          "Unknown",
          `failed to destroy network for sandbox ${JSON.stringify(id)}: ${messageOf(cause)}`,
          {
            cause,
          },
        );
      }
    }
    await killNow(engine, id, options);
    if (stored !== undefined && (stored.ready || stored.network !== undefined)) {
      const { network: _, ...rest } = stored;
      await store.write(id, { ...rest, ready: false });
    }
  }

  async removeSandbox(id: string, options: CallOptions = {}): Promise<void> {
    const { engine, store } = this.#context;
    await this.stopSandbox(id, options);
    const containers = await listOwned(this.#context, "container", [`${Label.sandbox}=${id}`], options);
    await Promise.all(containers.map((c) => removeForced(engine, c.Id, options)));
    await removeForced(engine, id, options);
    await store.remove(id);
  }

  /** What is gone may be stopped and removed again; what is somebody else's may not. */
  async #assertOurs(id: string, options: CallOptions): Promise<void> {
    try {
      await inspectOwned(this.#context, "sandbox", id, options);
    } catch (error) {
      if (!isRuntimeNotFound(error)) throw error;
      const there = await this.#context.engine
        .call((docker, abortSignal) => docker.getContainer(encodeURIComponent(id)).inspect({ abortSignal }), options)
        .catch(() => undefined);
      if (there !== undefined) throw error;
    }
  }

  async sandboxStatus(id: string, options: CallOptions = {}): Promise<SandboxStatus> {
    const stored = await this.#context.store.read(id);
    try {
      const { inspected, owned } = await inspectOwned(this.#context, "sandbox", id, options);
      const runs = sandboxState(inspected.State.Status) === "ready";
      const sandbox = sandboxOf(id, owned.record, stateOf(runs, stored), msOfTime(inspected.Created));
      const info = { info: JSON.stringify({ pid: inspected.State.Pid }) };
      return { ...sandbox, ips: ipsOf(stored), networkMode: owned.record.networkMode, info };
    } catch (error) {
      if (!isRuntimeNotFound(error) || stored === undefined) throw error;
      // Somebody removed the container: what it leaves behind is still ours to clean up.
      const sandbox = sandboxOf(id, stored.record, "notReady", stored.createdAt);
      return { ...sandbox, ips: ipsOf(stored), networkMode: stored.record.networkMode, info: {} };
    }
  }

  async listSandboxes(filter: SandboxFilter = {}, options: CallOptions = {}): Promise<Sandbox[]> {
    const { store } = this.#context;
    const ids = await store.ids();
    const listed = await listOwned(this.#context, "sandbox", engineLabelFilter(filter.labelSelector), options);
    const stored = new Map(await Promise.all(ids.map(async (id) => [id, await store.read(id)] as const)));
    const sandboxes = listed.flatMap((item) => {
      const owned = ownedOf(item.Labels, this.#context.owner);
      if (owned?.kind !== "sandbox") return [];
      const known = stored.get(item.Id);
      const state = stateOf(sandboxState(item.State) === "ready", known);
      return [sandboxOf(item.Id, owned.record, state, known?.createdAt ?? item.Created * 1000)];
    });
    // Only those that are asked for: a list of one pod's must not ask the engine about every other's.
    const wanted = [...stored].filter(([, s]) => hasLabels(s?.record.labels ?? {}, filter.labelSelector));
    sandboxes.push(...(await this.#orphans(wanted, sandboxes, options)));
    return sandboxes.filter(
      (s) =>
        (filter.id === undefined || s.id === filter.id) &&
        (filter.state === undefined || s.state === filter.state) &&
        hasLabels(s.labels, filter.labelSelector),
    );
  }

  /** Sandboxes that only the store knows: their containers were removed behind our back. */
  async #orphans(
    stored: readonly (readonly [id: string, sandbox: StoredSandbox | undefined])[],
    present: readonly Sandbox[],
    options: CallOptions,
  ): Promise<Sandbox[]> {
    const known = new Set(present.map((s) => s.id));
    const missing = stored.filter(([id]) => !known.has(id));
    const orphans = await Promise.all(
      missing.map(async ([id, sandbox]) => {
        if (sandbox === undefined) return [];
        // It may only have been outside of the search.
        const there = await inspectOwned(this.#context, "sandbox", id, options).catch((error: unknown) => {
          if (isRuntimeNotFound(error)) return undefined;
          throw error;
        });
        return there === undefined ? [sandboxOf(id, sandbox.record, "notReady", sandbox.createdAt)] : [];
      }),
    );
    return orphans.flat();
  }
}

/** Nothing stored means that another kubelet's folder knows more: what runs is believed. */
function stateOf(runs: boolean, stored: StoredSandbox | undefined) {
  return runs && (stored?.ready ?? true) ? "ready" : "notReady";
}

function ipsOf(stored: StoredSandbox | undefined): string[] {
  const result = stored?.network?.result;
  return result === undefined ? [] : addressesOf(result);
}

/** Without any word on DNS the pod gets the machine's own. Source: containerd's CRI plugin */
async function resolvConfOf(dns: DnsConfig | undefined): Promise<string> {
  if (dns !== undefined && (dns.servers.length > 0 || dns.searches.length > 0 || dns.options.length > 0)) {
    return renderResolvConf(dns);
  }
  try {
    return await readFile("/etc/resolv.conf", "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
