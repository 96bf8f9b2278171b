/** Which Services are to be looked at again when Services or Pods change; shared by endpoints and endpointslice. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod, Service } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString } from "@knarr/apimachinery/resource.ts";
import type { Informer, InformerSet } from "@knarr/client/informer.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import { sameJson } from "../core/canonical-json.ts";

/** Pod changes within this time become one write of a Service's endpoints. Source: --endpointslice-updates-batch-period */
export interface ServiceQueueOptions {
  readonly batchMs: number;
}

export interface ServiceSources {
  readonly services: Informer<Service>;
  readonly pods: Informer<Pod>;
}

export function watchServices(informers: InformerSet, queue: WorkQueue, options: ServiceQueueOptions): ServiceSources {
  const services = informers.informer(core.services);
  const pods = informers.informer(core.pods);
  const enqueue = (service: Service) => queue.add(keyString(keyOf(service)));
  services.subscribe({ added: enqueue, updated: (_old, now) => enqueue(now), deleted: enqueue });
  const enqueueFor = (pod: Pod) => {
    for (const service of services.list(pod.metadata.namespace)) {
      if (selects(service, pod)) queue.addAfter(keyString(keyOf(service)), options.batchMs);
    }
  };
  pods.subscribe({
    added: enqueueFor,
    deleted: enqueueFor,
    updated: (old, pod) => {
      if (!matters(old, pod)) return;
      enqueueFor(pod);
      if (!sameJson(old.metadata.labels, pod.metadata.labels)) enqueueFor(old);
    },
  });
  return { services, pods };
}

/** A Service without selector selects nothing: its endpoints are somebody else's. */
export function selects(service: Service, pod: Pod): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  return selector.length > 0 && selector.every(([key, value]) => pod.metadata.labels?.[key] === value);
}

export function hasSelector(service: Service): boolean {
  return service.spec?.type !== "ExternalName" && Object.keys(service.spec?.selector ?? {}).length > 0;
}

export function podsOf(service: Service, pods: Informer<Pod>): readonly Pod[] {
  return pods.list(service.metadata.namespace).filter((pod) => selects(service, pod));
}

/** Whether endpoints may differ between the two states of a pod. */
function matters(old: Pod, pod: Pod): boolean {
  const view = ({ metadata, spec, status }: Pod) => [
    metadata.labels,
    metadata.deletionTimestamp,
    spec?.nodeName,
    spec?.hostname,
    status?.phase,
    status?.podIPs,
    status?.podIP,
    status?.conditions?.find(({ type }) => type === "Ready")?.status,
  ];
  return old === pod || !sameJson(view(old), view(pod));
}
