/**
 * The objects that every cluster has from its first second: namespaces, priority classes, the Service address block.
 * Made if missing, never changed; looked at again every minute, as upstream does for namespaces.
 */
import { core, networking, scheduling } from "@knarr/api/generated/resources.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ResourceRef } from "@knarr/apimachinery/resource.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { Client } from "@knarr/client/client.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import { type Cidr, formatCidr } from "../registry/cidr.ts";

export interface BootstrapTools {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
}

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];
const INTERVAL_MS = 60_000;
const RETRY_MS = 500;

interface SystemObject {
  readonly ref: ResourceRef<unknown>;
  readonly object: KubeObject & Record<string, unknown>;
}

/** Source: k8s.io/kubernetes/pkg/apis/scheduling: SystemPriorityClasses */
function systemObjects(): SystemObject[] {
  return [
    ...NAMESPACES.map((name) => ({ ref: core.namespaces, object: { metadata: { name } } })),
    {
      ref: scheduling.priorityclasses,
      object: {
        metadata: { name: "system-node-critical" },
        value: 2_000_001_000,
        description: "Used for system critical pods that must not be moved from their current node.",
      },
    },
    {
      ref: scheduling.priorityclasses,
      object: {
        metadata: { name: "system-cluster-critical" },
        value: 2_000_000_000,
        description:
          "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
      },
    },
  ];
}

/** Runs until the signal aborts; `onFirst` is called when everything is there for the first time. */
export async function keepSystemObjects(
  tools: BootstrapTools,
  serviceCidr: Cidr,
  onFirst: () => void,
  signal: AbortSignal,
): Promise<void> {
  let first = true;
  while (!signal.aborted) {
    let waitMs = INTERVAL_MS;
    try {
      for (const { ref, object } of systemObjects()) await createIfMissing(tools.client, ref, object, signal);
      await ensureServiceCidr(tools, serviceCidr, signal);
      if (first) onFirst();
      first = false;
    } catch (error) {
      if (signal.aborted) break;
      // The store may not answer yet: the next try does the same work.
      tools.log.warn({ err: error }, "system objects not complete");
      waitMs = RETRY_MS;
    }
    await tools.clock.sleep(waitMs, signal);
  }
}

export async function createIfMissing(
  client: Client,
  ref: ResourceRef<unknown>,
  object: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  const { namespace = "", name = "" } = object.metadata;
  try {
    await client.get(ref, { namespace, name }, { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    try {
      await client.create(ref, object, { signal });
    } catch (failure) {
      if (!isAlreadyExists(failure)) throw failure;
    }
  }
}

/** Source: KEP-1880: the default ServiceCIDR is named kubernetes. */
async function ensureServiceCidr(tools: BootstrapTools, cidr: Cidr, signal: AbortSignal): Promise<void> {
  const { client, clock } = tools;
  const key = { namespace: "", name: "kubernetes" };
  await createIfMissing(
    client,
    networking.servicecidrs,
    { metadata: { name: key.name }, spec: { cidrs: [formatCidr(cidr)] } } as KubeObject,
    signal,
  );
  const current = await client.get(networking.servicecidrs, key, { signal });
  if (current.status?.conditions?.some((condition) => condition.type === "Ready") === true) return;
  const condition = {
    type: "Ready",
    status: "True",
    reason: "",
    message: "Kubernetes default Service CIDR is ready",
    lastTransitionTime: rfc3339Seconds(clock.now()),
  };
  await client.update(
    networking.servicecidrs,
    { ...current, status: { conditions: [condition] } },
    { subresource: "status", signal },
  );
}
