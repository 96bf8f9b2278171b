/** The node's heartbeat: a Lease in kube-node-lease, renewed every quarter of its duration. Source: KEP-589 */
import { coordination } from "@knarr/api/generated/resources.ts";
import type { Lease } from "@knarr/api/generated/types/coordination-v1.ts";
import type { Node } from "@knarr/api/generated/types/core-v1.ts";
import { isConflict, isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Client } from "@knarr/client/client.ts";
import { Backoff } from "@knarr/daemon/backoff.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";

export interface NodeLeaseOptions {
  readonly client: Client;
  readonly nodeName: string;
  readonly durationSeconds: number;
  readonly node: () => Node | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

const NAMESPACE = "kube-node-lease";

/** RFC 3339 with microseconds. */
function microTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}

export async function runNodeLease(options: NodeLeaseOptions, signal: AbortSignal): Promise<void> {
  const { clock, log } = options;
  const backoff = new Backoff({ initialMs: 200, maxMs: 7000, factor: 2 });
  let last: Lease | undefined;
  while (!signal.aborted) {
    let waitMs = (options.durationSeconds * 1000) / 4;
    try {
      last = await renew(options, last, signal);
      backoff.reset();
    } catch (error) {
      if (signal.aborted) break;
      // The next try asks for the lease anew: another writer changed it, or it is gone, or nobody answers.
      if (!isConflict(error)) log.warn({ err: error }, "node lease not renewed");
      last = undefined;
      waitMs = backoff.next();
    }
    await clock.sleep(waitMs, signal).catch(() => undefined);
  }
}

async function renew(options: NodeLeaseOptions, last: Lease | undefined, signal: AbortSignal): Promise<Lease> {
  const { client, nodeName, clock } = options;
  const timeoutMs = (options.durationSeconds * 1000) / 4;
  const call = { signal, timeoutMs };
  const existing = last ?? (await find(options, signal));
  const nodeUid = options.node()?.metadata.uid;
  const owner = { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeUid ?? "" };
  const spec = {
    ...existing?.spec,
    holderIdentity: nodeName,
    leaseDurationSeconds: options.durationSeconds,
    renewTime: microTime(clock.now()),
  };
  const metadata = {
    ...existing?.metadata,
    name: nodeName,
    namespace: NAMESPACE,
    ...(nodeUid === undefined ? {} : { ownerReferences: [owner] }),
  };
  const lease: Lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
  if (existing === undefined) return await client.create(coordination.leases, lease, call);
  return await client.update(coordination.leases, lease, call);
}

async function find({ client, nodeName }: NodeLeaseOptions, signal: AbortSignal): Promise<Lease | undefined> {
  try {
    return await client.get(coordination.leases, { namespace: NAMESPACE, name: nodeName }, { signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
