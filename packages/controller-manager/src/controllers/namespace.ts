/**
 * Empties namespaces that are being deleted, then lets them go.
 * Inputs: Namespaces, discovery. Writes: everything inside, Namespace status and finalizers.
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Namespace } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import { type DiscoveredResource, discoverResources } from "@knarr/client/discover-resources.ts";
import { listAll } from "@knarr/client/list-all.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { sameJson } from "../core/canonical-json.ts";
import {
  type DeletionOutcome,
  NAMESPACE_FINALIZER,
  namespaceConditions,
  nextRoundMs,
  type Remaining,
} from "../core/namespace-plan.ts";

/** Resources of one round that are deleted at the same time. */
const PARALLEL = 8;

export const namespaceController: Controller = {
  name: "namespace-controller",
  aliases: ["namespace"],
  start: async (context) => startNamespaces(context),
};

function startNamespaces(context: ControllerContext): (signal: AbortSignal) => Promise<void> {
  const { client, informers, config, clock } = context;
  const queue = makeQueue(context);
  const namespaces = informers.informer(core.namespaces);
  const enqueue = (namespace: Namespace) => {
    if (namespace.metadata.deletionTimestamp !== undefined) queue.add(namespace.metadata.name ?? "");
  };
  namespaces.subscribe({ added: enqueue, updated: (_old, now) => enqueue(now) });

  const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
    if (namespaces.get({ namespace: "", name }) === undefined) return done;
    let namespace: Namespace;
    try {
      // Not from the cache: a finalizer must not be taken from a namespace whose content was not looked for.
      namespace = await client.get(core.namespaces, { namespace: "", name }, { signal });
    } catch (error) {
      if (isNotFound(error)) return done;
      throw error;
    }
    if (namespace.metadata.deletionTimestamp === undefined) return done;
    if (namespace.spec?.finalizers?.includes(NAMESPACE_FINALIZER) !== true) return done;
    const outcome = await deleteContent(context, name, signal);
    const conditions = namespaceConditions(namespace.status?.conditions ?? [], outcome, clock.now());
    const status = { ...namespace.status, phase: "Terminating", conditions };
    if (!sameJson(status, namespace.status)) {
      namespace = await client.update(core.namespaces, { ...namespace, status }, { subresource: "status", signal });
    }
    const { remaining, contentFailures, discoveryFailures } = outcome;
    if (contentFailures.length + discoveryFailures.length > 0 && remaining.length === 0) {
      throw new Error(`namespace ${name} can't be emptied: ${[...discoveryFailures, ...contentFailures].join(", ")}`);
    }
    if (remaining.length > 0) {
      return after(nextRoundMs(remaining, clock.now() - Date.parse(namespace.metadata.deletionTimestamp ?? "")));
    }
    const finalizers = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== NAMESPACE_FINALIZER);
    try {
      await client.update(
        core.namespaces,
        { ...namespace, spec: { ...namespace.spec, finalizers } },
        { subresource: "finalize", signal },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return done;
  };
  return (signal) =>
    runLoop(context, { queue, workers: config.concurrentNamespaceSyncs, needs: needs(namespaces), reconcile }, signal);
}

/** One round: pods, and only when none is left, everything else. */
async function deleteContent(
  context: ControllerContext,
  namespace: string,
  signal: AbortSignal,
): Promise<DeletionOutcome> {
  const { resources, failures } = await discoverResources(context.client, { signal });
  const discoveryFailures = failures.map(({ groupVersion, message }) => `${groupVersion}: ${message}`);
  const deletable = resources.filter(({ namespaced, verbs }) => namespaced && verbs.includes("delete"));
  const isPods = (resource: DiscoveredResource) => resource.group === "" && resource.resource === "pods";
  const contentFailures: string[] = [];
  const empty = async (resource: DiscoveredResource): Promise<Remaining | undefined> => {
    try {
      return await deleteAll(context, { namespace, resource }, signal);
    } catch (error) {
      signal.throwIfAborted();
      contentFailures.push(
        `${resource.resource}.${resource.group}: ${error instanceof Error ? error.message : String(error)}`,
      );
      return undefined;
    }
  };
  const remaining: Remaining[] = [];
  for (const resource of deletable.filter(isPods)) {
    const left = await empty(resource);
    if (left !== undefined) remaining.push(left);
  }
  if (remaining.length > 0) {
    const { count } = remaining[0] as Remaining;
    // While a pod runs, what it needs stays. Source: KEP-5080
    contentFailures.push(
      `unexpected items still remain in namespace: ${namespace} for gvr: /v1, Resource=pods (${count})`,
    );
    return { discoveryFailures, contentFailures, remaining };
  }
  if (contentFailures.length > 0) return { discoveryFailures, contentFailures, remaining };
  const others = deletable.filter((resource) => !isPods(resource));
  for (let i = 0; i < others.length; i += PARALLEL) {
    const round = await Promise.all(others.slice(i, i + PARALLEL).map(empty));
    for (const left of round) if (left !== undefined) remaining.push(left);
  }
  return { discoveryFailures, contentFailures, remaining };
}

/** Deletes a resource's objects in the namespace and says what is left of them; undefined when nothing is. */
async function deleteAll(
  { client, clock }: ControllerContext,
  of: { namespace: string; resource: DiscoveredResource },
  signal: AbortSignal,
): Promise<Remaining | undefined> {
  const { namespace, resource } = of;
  const lists = resource.verbs.includes("list");
  let items = lists ? (await listAll(client, resource, { namespace, signal })).items : [];
  if (lists && items.length === 0) return undefined;
  const propagationPolicy = "Background" as const;
  if (resource.verbs.includes("deletecollection")) {
    try {
      await client.deleteCollection(resource, { namespace, propagationPolicy, signal });
    } catch (error) {
      // Some resources claim the verb and don't serve it: one by one, then.
      if (!(error instanceof StatusError) || error.code !== 405) throw error;
      await deleteEach(client, { resource, items }, signal);
    }
  } else await deleteEach(client, { resource, items }, signal);
  if (!lists) return undefined;
  items = (await listAll(client, resource, { namespace, signal })).items;
  return items.length === 0 ? undefined : remainingOf(resource, items, clock.now());
}

async function deleteEach(
  client: ControllerContext["client"],
  of: { resource: DiscoveredResource; items: readonly KubeObject[] },
  signal: AbortSignal,
): Promise<void> {
  for (const item of of.items) {
    try {
      await client.delete(of.resource, keyOf(item), { propagationPolicy: "Background", signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function remainingOf(resource: DiscoveredResource, items: readonly KubeObject[], nowMs: number): Remaining {
  const finalizers: Record<string, number> = {};
  let waitSeconds = 0;
  for (const { metadata } of items) {
    for (const name of metadata.finalizers ?? []) finalizers[name] = (finalizers[name] ?? 0) + 1;
    const goneMs = Date.parse(metadata.deletionTimestamp ?? "");
    if (resource.resource === "pods" && resource.group === "" && goneMs > nowMs) {
      waitSeconds = Math.max(waitSeconds, Math.ceil((goneMs - nowMs) / 1000));
    }
  }
  return { resource: `${resource.resource}.${resource.group}`, count: items.length, finalizers, waitSeconds };
}
