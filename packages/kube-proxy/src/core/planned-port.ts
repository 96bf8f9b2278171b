/** One Service with its slices, and what any backend's plan of one of its ports tells the rest of the proxy. */
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import type { EndpointSlice } from "@knarr/api/generated/types/discovery-v1.ts";
import type { Endpoint, ServicePort } from "./service-port.ts";

/** Both are informer objects, so an unchanged one is the same object. */
export interface ServiceView {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
}

export interface PlannedPort {
  readonly port: ServicePort;
  /** Only of ports that something asks for them, see `keptEndpoints`. */
  readonly endpoints: readonly Endpoint[];
  readonly plan: {
    /** Policies (internal, external) that are Local while this node has no endpoint and others have. */
    readonly withoutLocal: { readonly internal: boolean; readonly external: boolean };
  };
}

const none: readonly Endpoint[] = [];

/** Stale UDP flows and health checks are found by a port's endpoints; all others' would be memory for nothing. */
export function keptEndpoints(port: ServicePort, endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return port.protocol === "udp" || port.healthCheckNodePort !== 0 ? endpoints : none;
}

/** "namespace/name" of the Service. */
export function viewKey({ service: { metadata } }: ServiceView): string {
  return `${metadata.namespace}/${metadata.name}`;
}

export function isSameView(a: ServiceView, b: ServiceView): boolean {
  return (
    a.service === b.service &&
    a.slices.length === b.slices.length &&
    a.slices.every((slice, i) => slice === b.slices[i])
  );
}
