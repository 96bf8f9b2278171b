/**
 * What the objects of a namespace use of its ResourceQuotas, counted again when something goes, when the quota changes,
 * and all of them every so often. What comes is counted by admission, as it comes.
 * Inputs: ResourceQuotas, and every resource that one of them measures. Writes: the quotas' status.
 * Source: kubernetes/pkg/controller/resourcequota
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, ResourceQuota } from "@knarr/api/generated/types/core-v1.ts";
import { calculateUsage } from "@knarr/api/quota/calculate-usage.ts";
import { evaluatorFor, evaluatorsOf } from "@knarr/api/quota/evaluators.ts";
import { type KubeObject, keyOf } from "@knarr/apimachinery/object.ts";
import { compareQuantities } from "@knarr/apimachinery/quantity.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { type DiscoveredResource, discoverResources } from "@knarr/client/discover-resources.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { sameJson } from "../core/canonical-json.ts";
import { isPodTerminal } from "../core/pod-state.ts";

/** How long what discovery said is believed. Source: startDynamic... quota controller, 30 s */
const DISCOVERY_MS = 30_000;
/** Several deletions at once are one recount. */
const BATCH_MS = 100;
const NOT_SYNCED_MS = 500;

export const resourceQuotaController: Controller = {
  name: "resourcequota-controller",
  aliases: ["resourcequota"],
  start: async (context) => {
    const quotas = new QuotaCounter(context);
    return (signal) => quotas.run(signal);
  },
};

class QuotaCounter {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #quotas: Informer<ResourceQuota>;
  /** "group/resource" -> its objects; undefined for what the server doesn't have. */
  readonly #sources = new Map<string, Informer<KubeObject>>();
  #served = new Map<string, DiscoveredResource>();
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = makeQueue(context);
    this.#quotas = context.informers.informer(core.resourcequotas);
    this.#quotas.subscribe({
      added: (quota) => this.#queue.add(keyString(keyOf(quota))),
      updated: (old, quota) => {
        const resync = old === quota;
        if (resync || !sameJson(old.spec, quota.spec)) this.#queue.add(keyString(keyOf(quota)));
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { config } = this.#context;
    await runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: config.concurrentResourceQuotaSyncs,
        needs: needs(this.#quotas),
        reconcile: (key, stop) => this.#reconcile(key, stop),
      },
      signal,
    );
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const { client, clock, config } = this.#context;
    const quota = this.#quotas.get(parseKeyString(key));
    if (quota === undefined) return done;
    const names = Object.keys(quota.spec?.hard ?? {});
    await this.#watchResources(names, signal);
    const wanted = evaluatorsOf(names).map(({ group, resource }) => `${group}/${resource}`);
    // Not listed yet is not "none": what was counted before stands until then.
    if (wanted.some((id) => this.#sources.get(id)?.synced === false)) return after(NOT_SYNCED_MS);
    const namespace = quota.metadata.namespace ?? "";
    const used = calculateUsage(
      quota.spec ?? {},
      (group, resource) => this.#sources.get(`${group}/${resource}`)?.list(namespace),
      clock.now(),
    );
    // A name that can't be measured now keeps what it had.
    const kept = Object.fromEntries(
      Object.entries(quota.status?.used ?? {}).filter(([name]) => names.includes(name) && used[name] === undefined),
    );
    const next = { hard: quota.spec?.hard ?? {}, used: { ...kept, ...used } };
    if (!sameQuantities(next.hard, quota.status?.hard) || !sameQuantities(next.used, quota.status?.used)) {
      const status = { ...quota.status, ...next };
      await client.update(core.resourcequotas, { ...quota, status }, { subresource: "status", signal });
    }
    return after(config.resourceQuotaSyncPeriodMs);
  }

  /** Starts informers for what these names measure, as far as the server has it. */
  async #watchResources(names: readonly string[], signal: AbortSignal): Promise<void> {
    const missing = evaluatorsOf(names).filter(({ group, resource }) => !this.#sources.has(`${group}/${resource}`));
    if (missing.length === 0) return;
    const { client, clock, informers, log } = this.#context;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#askedMs > DISCOVERY_MS) {
      const { resources, failures } = await discoverResources(client, { signal });
      for (const failure of failures) log.debug({ failure }, "a group could not be discovered");
      this.#served = new Map(resources.map((resource) => [`${resource.group}/${resource.resource}`, resource]));
      this.#askedMs = nowMs;
    }
    for (const { group, resource } of missing) {
      const id = `${group}/${resource}`;
      const served = this.#served.get(id);
      if (served === undefined || !["list", "watch"].every((verb) => served.verbs.includes(verb))) continue;
      const { verbs: _verbs, ...ref } = served;
      const source = informers.informer<KubeObject>(ref);
      this.#sources.set(id, source);
      source.subscribe({
        deleted: (object) => this.#recount(group, resource, object),
        updated: (old, object) => {
          if (frees(`${group}/${resource}`, old, object)) this.#recount(group, resource, object);
        },
      });
    }
  }

  #recount(group: string, resource: string, object: KubeObject): void {
    const evaluator = evaluatorFor(group, resource);
    for (const quota of this.#quotas.list(object.metadata.namespace ?? "")) {
      const names = Object.keys(quota.spec?.hard ?? {});
      if (evaluator.matchingResources(names).length > 0) this.#queue.addAfter(keyString(keyOf(quota)), BATCH_MS);
    }
  }
}

/** Changes after which something may use less: pods that end, Services and claims that change. */
function frees(id: string, old: KubeObject, object: KubeObject): boolean {
  if (old === object) return false;
  switch (id) {
    case "/pods":
      return !isPodTerminal(old as Pod) && isPodTerminal(object as Pod);
    case "/services":
    case "/persistentvolumeclaims":
      return !sameJson((old as { spec?: unknown }).spec, (object as { spec?: unknown }).spec);
    default:
      return false;
  }
}

function sameQuantities(a: Record<string, unknown>, b: Record<string, unknown> | undefined): boolean {
  const names = Object.keys(a);
  if (b === undefined || names.length !== Object.keys(b).length) return false;
  return names.every((name) => b[name] !== undefined && compareQuantities(String(a[name]), String(b[name])) === 0);
}
