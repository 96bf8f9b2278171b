/** `apply --prune`: deletes what was applied once, is selected, and was not applied now. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { ApplyTask } from "./apply-task.ts";
import type { DiscoveredResource, ResourceMapper } from "./core/resource-mapper.ts";
import { LAST_APPLIED } from "./last-applied.ts";
import type { ResultPrinter } from "./print.ts";
import { CliError } from "./verb.ts";

/** Source: kubectl/pkg/util/prune/prune.go, the default allowlist. */
const NAMESPACED = [
  "core/v1/ConfigMap",
  "core/v1/Endpoints",
  "core/v1/PersistentVolumeClaim",
  "core/v1/Pod",
  "core/v1/ReplicationController",
  "core/v1/Secret",
  "core/v1/Service",
  "batch/v1/Job",
  "batch/v1/CronJob",
  "networking.k8s.io/v1/Ingress",
  "apps/v1/DaemonSet",
  "apps/v1/Deployment",
  "apps/v1/ReplicaSet",
  "apps/v1/StatefulSet",
];
const CLUSTER_WIDE = ["core/v1/Namespace", "core/v1/PersistentVolume"];

export async function prune(
  task: ApplyTask,
  mapper: ResourceMapper,
  applied: readonly { uid: string; namespace: string }[],
  printer: ResultPrinter,
): Promise<void> {
  const { connection, context, options, dryRun } = task;
  const uids = new Set(applied.map(({ uid }) => uid));
  const namespaces = new Set(applied.map(({ namespace }) => namespace).filter((n) => n !== ""));
  const kinds = options.pruneAllowlist ?? [...NAMESPACED, ...(connection.namespaceGiven ? [] : CLUSTER_WIDE)];
  for (const resource of kinds.map((kind) => resourceOf(kind, mapper))) {
    for (const namespace of resource.namespaced ? namespaces : [""]) {
      const query = { namespace, labelSelector: options.selector, signal: context.signal };
      const { items } = await connection.client.list(resource, query);
      for (const object of items as KubeObject[]) {
        if (object.metadata.annotations?.[LAST_APPLIED] === undefined || uids.has(object.metadata.uid ?? "")) continue;
        const key = { namespace: object.metadata.namespace ?? "", name: object.metadata.name ?? "" };
        if (dryRun !== "client") {
          const settings = {
            dryRun: dryRun === "server",
            propagationPolicy: "Background" as const,
            signal: context.signal,
          };
          await connection.client.delete(resource, key, settings).catch((error: unknown) => {
            if (!isNotFound(error)) throw error;
          });
        }
        printer.print({ ...object, apiVersion: apiVersionOf(resource), kind: resource.kind }, "pruned");
      }
    }
  }
}

function resourceOf(text: string, mapper: ResourceMapper): DiscoveredResource {
  const [group = "", version = "", kind = "", ...more] = text.split("/");
  if (kind === "" || more.length > 0) {
    throw new CliError(`invalid GroupVersionKind format: ${text}, please follow <group/version/kind>`);
  }
  return mapper.forKind(group === "core" ? version : `${group}/${version}`, kind);
}
