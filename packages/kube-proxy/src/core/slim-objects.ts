/**
 * What kube-proxy keeps of the objects that it watches: the fields that rules are made of, and values that most objects
 * share only once. A node of a cluster with 10,000 Services keeps 10,000 of each.
 */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { Endpoint, EndpointConditions, EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";

/** The only annotation that is read: when the change that the slice tells of happened. */
export const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";
export const SERVICE_NAME = "kubernetes.io/service-name";

export function slimService({ apiVersion, kind, metadata, spec, status }: Service): Service {
  const { namespace, name, resourceVersion, uid } = metadata;
  const ingress = status?.loadBalancer?.ingress;
  const slim: Service = {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: withoutUndefined({ namespace, name, resourceVersion, uid }),
    ...(ingress === undefined || ingress.length === 0 ? {} : { status: { loadBalancer: { ingress } } }),
  };
  if (spec === undefined) return slim;
  const { type, clusterIP, clusterIPs, externalIPs, ports, sessionAffinity, sessionAffinityConfig } = spec;
  const { loadBalancerSourceRanges, internalTrafficPolicy, externalTrafficPolicy, healthCheckNodePort } = spec;
  const kept = {
    type,
    clusterIP,
    clusterIPs,
    externalIPs,
    sessionAffinity,
    sessionAffinityConfig,
    loadBalancerSourceRanges,
    internalTrafficPolicy,
    externalTrafficPolicy,
    healthCheckNodePort,
    ports: ports?.map((port) => {
      const { name: portName, protocol, port: number, nodePort } = port;
      return withoutUndefined({ name: portName, protocol, port: number, nodePort });
    }),
  };
  return { ...slim, spec: withoutUndefined(kept) };
}

export function slimSlice(slice: EndpointSlice): EndpointSlice {
  const { apiVersion, kind, metadata, addressType, ports, endpoints } = slice;
  const { namespace, name, resourceVersion, uid } = metadata;
  const service = metadata.labels?.[SERVICE_NAME];
  const triggered = metadata.annotations?.[TRIGGER_TIME];
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: withoutUndefined({
      namespace,
      name,
      resourceVersion,
      uid,
      labels: service === undefined ? undefined : { [SERVICE_NAME]: service },
      annotations: triggered === undefined ? undefined : { [TRIGGER_TIME]: triggered },
    }),
    addressType,
    ...(ports === undefined || ports === null
      ? {}
      : {
          ports: ports.map(({ name: portName, port, protocol }) =>
            withoutUndefined({ name: portName, port, protocol }),
          ),
        }),
    endpoints: (endpoints ?? []).map(slimEndpoint),
  };
}

function slimEndpoint({ addresses, conditions, hints, nodeName }: Endpoint): Endpoint {
  return withoutUndefined({
    addresses: addresses.slice(0, 1),
    conditions: conditions === undefined ? undefined : sharedConditions(conditions),
    nodeName: nodeName === undefined ? undefined : shared(nodeName),
    hints,
  });
}

const knownConditions = new Map<string, EndpointConditions>();

/** There are 27 of them at most. */
function sharedConditions({ ready, serving, terminating }: EndpointConditions): EndpointConditions {
  const key = `${ready} ${serving} ${terminating}`;
  const known = knownConditions.get(key);
  if (known !== undefined) return known;
  const made = Object.freeze(withoutUndefined({ ready, serving, terminating }));
  knownConditions.set(key, made);
  return made;
}

/** Nodes' names: as many as there were nodes while this process has run. */
const names = new Map<string, string>();
const MAX_NAMES = 100_000;

function shared(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size >= MAX_NAMES) names.clear();
  names.set(name, name);
  return name;
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the fields that are not there, so that objects with the same fields have the same shape. */
function withoutUndefined<T extends object>(fields: T): Defined<T> {
  for (const key of Object.keys(fields) as (keyof T)[]) {
    if (fields[key] === undefined)
      return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as Defined<T>;
  }
  return fields as Defined<T>;
}
