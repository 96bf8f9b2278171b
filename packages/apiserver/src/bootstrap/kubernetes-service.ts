/**
 * default/kubernetes: the Service at the first address of the block, its Endpoints and EndpointSlice naming every API
 * server that is alive. Servers tell each other that they are alive by keys that vanish (masterleases/ADDRESS).
 * Source: k8s.io/kubernetes/pkg/controlplane/reconcilers/lease.go
 */
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { Endpoints } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isAlreadyExists, isNotFound } from "@knarr/apimachinery/status-error.ts";
import { addressAt, type Cidr, parseIp } from "../registry/cidr.ts";
import type { ResourceStorage } from "../storage/types.ts";
import { type BootstrapTools, createIfMissing } from "./system-objects.ts";

const KEY = { namespace: "default", name: "kubernetes" };
const INTERVAL_MS = 10_000;
/** A server that hasn't renewed for this long is gone. */
const LEASE_SECONDS = 15;

export interface KubernetesServiceOptions extends BootstrapTools {
  readonly serviceCidr: Cidr;
  readonly advertiseAddress: string;
  readonly securePort: number;
  /** masterleases/ in the store. */
  readonly leases: ResourceStorage;
}

export async function keepKubernetesService(
  options: KubernetesServiceOptions,
  onFirst: () => void,
  signal: AbortSignal,
): Promise<void> {
  let first = true;
  while (!signal.aborted) {
    let waitMs = INTERVAL_MS;
    try {
      await reconcile(options, signal);
      if (first) onFirst();
      first = false;
    } catch (error) {
      if (signal.aborted) break;
      options.log.warn({ err: error }, "kubernetes service not reconciled");
      waitMs = 500;
    }
    await options.clock.sleep(waitMs, signal).catch(() => undefined); // Only the stop ends the sleep early.
  }
  await withdraw(options);
}

async function reconcile(options: KubernetesServiceOptions, signal: AbortSignal): Promise<void> {
  const { client, serviceCidr } = options;
  const service = {
    metadata: { ...KEY, labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      clusterIP: addressAt(serviceCidr, 1n),
      ipFamilyPolicy: "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: options.securePort }],
    },
  };
  await createIfMissing(client, core.services, service as KubeObject, signal);
  // A loopback address is of no use to pods, and not a valid endpoint: the Service stays without any.
  if (/^(127\.|::1$)/.test(options.advertiseAddress)) return;
  await renewLease(options);
  const page = await options.leases.list({});
  const addresses = page.items.map((item) => item.key.name).sort();
  await writeEndpoints(options, addresses, signal);
  await writeSlice(options, addresses, signal);
}

async function renewLease(options: KubernetesServiceOptions): Promise<void> {
  const name = options.advertiseAddress;
  const bytes = (generation: number) =>
    Buffer.from(
      JSON.stringify({
        kind: "Endpoints",
        apiVersion: "v1",
        // The count makes each renewal a change: an unchanged write would not renew.
        metadata: { name, generation },
        subsets: [{ addresses: [{ ip: name }] }],
      }),
    );
  await options.leases.update(
    { namespace: "", name },
    (current) => {
      const before = current === undefined ? undefined : (JSON.parse(current.bytes.toString()) as KubeObject);
      return { kind: "write", bytes: bytes((before?.metadata.generation ?? 0) + 1), ttlSeconds: LEASE_SECONDS };
    },
    { createIfMissing: true },
  );
}

async function writeEndpoints(
  options: KubernetesServiceOptions,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { client } = options;
  const subsets = [
    {
      addresses: addresses.map((ip) => ({ ip })),
      ports: [{ name: "https", port: options.securePort, protocol: "TCP" }],
    },
  ];
  const labels = { "endpointslice.kubernetes.io/skip-mirror": "true" };
  let current: Endpoints | undefined;
  try {
    current = await client.get(core.endpoints, KEY, { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  if (current === undefined) {
    await client.create(core.endpoints, { metadata: { ...KEY, labels }, subsets } as Endpoints, { signal });
  } else if (JSON.stringify(addressesOf(current)) !== JSON.stringify([addresses, options.securePort])) {
    const metadata = { ...current.metadata, labels: { ...current.metadata?.labels, ...labels } };
    await client.update(core.endpoints, { ...current, metadata, subsets } as Endpoints, { signal });
  }
}

function addressesOf(endpoints: Endpoints): unknown {
  const subset = endpoints.subsets?.[0];
  return [(subset?.addresses ?? []).map((address) => address.ip).sort(), subset?.ports?.[0]?.port];
}

async function writeSlice(
  options: KubernetesServiceOptions,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { client } = options;
  const slice = {
    metadata: { ...KEY, labels: { "kubernetes.io/service-name": KEY.name } },
    addressType: parseIp(options.advertiseAddress)?.family ?? "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: "https", port: options.securePort, protocol: "TCP" }],
  } as EndpointSlice;
  try {
    const current = await client.get(discovery.endpointslices, KEY, { signal });
    const shown = [
      (current.endpoints ?? []).flatMap((endpoint) => endpoint.addresses).sort(),
      current.ports?.[0]?.port,
    ];
    if (JSON.stringify(shown) === JSON.stringify([addresses, options.securePort])) return;
    const { endpoints, ports } = slice;
    await client.update(
      discovery.endpointslices,
      { ...current, endpoints, ...(ports === undefined ? {} : { ports }) },
      { signal },
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await client.create(discovery.endpointslices, slice, { signal });
  }
}

/** A server that stops says so; what fails here runs out by itself. */
async function withdraw(options: KubernetesServiceOptions): Promise<void> {
  try {
    await options.leases.delete({ namespace: "", name: options.advertiseAddress });
  } catch (error) {
    if (!isNotFound(error) && !isAlreadyExists(error)) options.log.info({ err: error }, "own address not withdrawn");
  }
}
