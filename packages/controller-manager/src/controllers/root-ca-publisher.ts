/**
 * The ConfigMap `kube-root-ca.crt` with the API server's CA in every namespace.
 * Inputs: Namespaces, ConfigMaps of that name, the file of --root-ca-file. Writes: ConfigMaps.
 */
import { readFile } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import { isAlreadyExists } from "@knarr/apimachinery/status-error.ts";
import { done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { sameJson } from "../core/canonical-json.ts";
import { isNamespaceTerminating } from "./pod-control.ts";

const NAME = "kube-root-ca.crt";
const DESCRIPTION =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal " +
  "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

export const rootCaPublisherController: Controller = {
  name: "root-ca-certificate-publisher-controller",
  aliases: ["root-ca-cert-publisher"],
  serviceAccount: "root-ca-cert-publisher",
  start: async (context) => {
    if (context.config.rootCaFile === "") {
      context.log.warn("no --root-ca-file, kube-root-ca.crt is not published");
      return undefined;
    }
    return publish(context, await readFile(context.config.rootCaFile, "utf8"));
  },
};

function publish(context: ControllerContext, bundle: string): (signal: AbortSignal) => Promise<void> {
  const { client, informers } = context;
  const queue = makeQueue(context);
  const namespaces = informers.informer(core.namespaces);
  const configMaps = informers.informer(core.configmaps, { fieldSelector: `metadata.name=${NAME}` });
  const enqueue = (namespace: string | undefined) => queue.add(namespace ?? "");
  namespaces.subscribe({
    added: ({ metadata }) => enqueue(metadata.name),
    updated: (_old, { metadata }) => enqueue(metadata.name),
  });
  configMaps.subscribe({
    updated: (_old, { metadata }) => enqueue(metadata.namespace),
    deleted: ({ metadata }) => enqueue(metadata.namespace),
  });
  const data = { "ca.crt": bundle };
  const annotations = { "kubernetes.io/description": DESCRIPTION };
  const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
    const namespace = namespaces.get({ namespace: "", name });
    if (namespace === undefined || namespace.status?.phase === "Terminating") return done;
    const current = configMaps.get({ namespace: name, name: NAME });
    if (current === undefined) {
      const metadata = { namespace: name, name: NAME, annotations };
      try {
        await client.create(core.configmaps, { apiVersion: "v1", kind: "ConfigMap", metadata, data }, { signal });
      } catch (error) {
        if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
      }
      return done;
    }
    const described = current.metadata.annotations?.["kubernetes.io/description"] === DESCRIPTION;
    if (sameJson(current.data, data) && described) return done;
    const metadata = { ...current.metadata, annotations: { ...current.metadata.annotations, ...annotations } };
    await client.update(core.configmaps, { ...current, metadata, data }, { signal });
    return done;
  };
  return (signal) => runLoop(context, { queue, workers: 1, needs: needs(namespaces, configMaps), reconcile }, signal);
}
