/**
 * Keeps ServiceCIDRs from going while addresses of Services are in them. Inputs: ServiceCIDRs, IPAddresses.
 * Writes: the ServiceCIDRs' finalizer and Ready condition.
 */
import { networking } from "@knarr/api/generated/resources.ts";
import type { ServiceCIDR } from "@knarr/api/generated/types/networking-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import { type Controller, type ControllerContext, makeQueue, needs, runLoop } from "../controller-context.ts";
import { CIDR_FINALIZER, type CidrCondition, mayDelete, READY, TERMINATING } from "../core/service-cidr-plan.ts";

/** For allocators that haven't seen yet that the range is on its way out. */
const GRACE_MS = 10_000;

export const serviceCidrController: Controller = {
  name: "service-cidr-controller",
  serviceAccount: "service-cidrs-controller",
  start: async (context) => {
    const { clock, informers } = context;
    const queue = makeQueue(context);
    const cidrs = informers.informer(networking.servicecidrs);
    const addresses = informers.informer(networking.ipaddresses);
    const enqueueAll = () => {
      for (const { metadata } of cidrs.list()) queue.add(metadata.name ?? "");
    };
    cidrs.subscribe({ added: enqueueAll, updated: enqueueAll, deleted: enqueueAll });
    addresses.subscribe({
      deleted: () => {
        for (const { metadata } of cidrs.list()) {
          if (metadata.deletionTimestamp !== undefined) queue.add(metadata.name ?? "");
        }
      },
    });
    const reconcile = async (name: string, signal: AbortSignal): Promise<Result> => {
      const cidr = cidrs.get({ namespace: "", name });
      if (cidr === undefined) return done;
      const isProtected = cidr.metadata.finalizers?.includes(CIDR_FINALIZER) === true;
      if (cidr.metadata.deletionTimestamp === undefined) {
        if (!isProtected)
          await setFinalizers(context, cidr, [...(cidr.metadata.finalizers ?? []), CIDR_FINALIZER], signal);
        await setReady(context, cidr, READY, signal);
        return done;
      }
      if (!isProtected) return done;
      const others = cidrs.list().filter(({ metadata }) => {
        return metadata.uid !== cidr.metadata.uid && metadata.deletionTimestamp === undefined;
      });
      const used = addresses.list().map(({ metadata }) => metadata.name ?? "");
      if (!mayDelete(cidr, others, used)) {
        await setReady(context, cidr, TERMINATING, signal);
        return done;
      }
      const waitedMs = clock.now() - Date.parse(cidr.metadata.deletionTimestamp);
      if (waitedMs < GRACE_MS) return after(GRACE_MS - waitedMs);
      const rest = (cidr.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CIDR_FINALIZER);
      try {
        await setFinalizers(context, cidr, rest, signal);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      return done;
    };
    return (signal) => runLoop(context, { queue, workers: 5, needs: needs(cidrs, addresses), reconcile }, signal);
  },
};

async function setFinalizers(
  { client }: ControllerContext,
  cidr: ServiceCIDR,
  finalizers: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { name = "", uid, resourceVersion } = cidr.metadata;
  const body = { metadata: { finalizers, uid, resourceVersion } };
  await client.patch(networking.servicecidrs, { namespace: "", name }, { type: "merge", body }, { signal });
}

async function setReady(
  { client, clock }: ControllerContext,
  cidr: ServiceCIDR,
  condition: CidrCondition,
  signal: AbortSignal,
): Promise<void> {
  const old = cidr.status?.conditions?.find(({ type }) => type === "Ready");
  if (old?.status === condition.status && old.message === condition.message) return;
  const lastTransitionTime = old?.status === condition.status ? old.lastTransitionTime : rfc3339Seconds(clock.now());
  const conditions = [
    ...(cidr.status?.conditions ?? []).filter(({ type }) => type !== "Ready"),
    { type: "Ready", ...condition, lastTransitionTime },
  ];
  const key = { namespace: "", name: cidr.metadata.name ?? "" };
  const body = { status: { conditions } };
  await client.patch(networking.servicecidrs, key, { type: "merge", body }, { subresource: "status", signal });
}
