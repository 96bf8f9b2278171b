/**
 * A controller: every ConfigMap labelled example.com/share=true is copied into all namespaces, and kept the same there.
 *   node examples/controller/main.ts            (KUBECONFIG or ~/.kube/config says where)
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { Client } from "@knarr/client/client.ts";
import { InformerSet } from "@knarr/client/informer.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { done, type Result, runController } from "@knarr/controller/reconcile-loop.ts";
import { WorkQueue } from "@knarr/controller/work-queue.ts";
import { systemClock as clock } from "@knarr/daemon/clock.ts";
import { createLogger } from "@knarr/daemon/logger.ts";
import { runGroup } from "@knarr/daemon/run-group.ts";

const log = createLogger({ name: "config-sharer" });
const client = new Client(loadKubeconfig({ clock }), { clock, userAgent: "config-sharer" });
const informers = new InformerSet(client, { clock, log });
const queue = new WorkQueue({ clock });

// Caches that follow the server. Handlers only say which key is to be looked at: "target namespace/name of the original".
const shared = informers.informer(core.configmaps, { labelSelector: "example.com/share=true" });
const copies = informers.informer(core.configmaps, { labelSelector: "example.com/copy-of" });
const namespaces = informers.informer(core.namespaces);
const everywhere = ({ metadata: { name } }: ConfigMap) => {
  for (const { metadata } of namespaces.list()) queue.add(`${metadata.name}/${name}`);
};
const one = ({ metadata: { namespace, name } }: ConfigMap) => queue.add(`${namespace}/${name}`);
shared.subscribe({ added: everywhere, updated: (_old, now) => everywhere(now), deleted: everywhere });
copies.subscribe({ added: one, updated: (_old, now) => one(now), deleted: one });
namespaces.subscribe({ added: () => shared.list().forEach(everywhere) });

/** Looks at the world as it is now and takes one step towards what it should be; may be called any number of times. */
async function reconcile(key: string): Promise<Result> {
  const [namespace = "", name = ""] = key.split("/");
  const original = shared.list().find(({ metadata }) => metadata.name === name);
  const copy = copies.get({ namespace, name });
  if (original === undefined) {
    if (copy !== undefined) await client.delete(core.configmaps, { namespace, name }).catch(unless(isNotFound));
    return done;
  }
  if (original.metadata.namespace === namespace) return done;
  if (namespaces.get({ namespace: "", name: namespace })?.status?.phase !== "Active") return done;
  const labels = { "example.com/copy-of": original.metadata.namespace ?? "" };
  const wanted: ConfigMap = { ...copy, metadata: { ...copy?.metadata, namespace, name, labels }, data: original.data };
  if (copy === undefined) await client.create(core.configmaps, wanted).catch(unless(isAlreadyExists));
  else if (JSON.stringify(copy.data) !== JSON.stringify(original.data)) await client.update(core.configmaps, wanted);
  return done;
}
const unless = (isExpected: (error: unknown) => boolean) => (error: unknown) => {
  if (!isExpected(error)) throw error;
};

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => stop.abort());
await runGroup(stop.signal, {
  informers: (signal) => informers.run(signal),
  controller: async (signal) => {
    await informers.waitForSync(signal);
    log.info("caches are filled");
    await runController({ workers: 2, queue, reconcile, log, clock, signal });
  },
});
client.close();
