/**
 * Services: cluster addresses and node ports are taken when a Service is written and given back when it no longer needs
 * them. A write that fails gives back what it took; what a crash leaves behind is the repair loop's.
 * Source: k8s.io/kubernetes/pkg/registry/core/service/storage/alloc.go
 */
import type { Service, ServicePort, ServiceSpec } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { ObjectKey } from "@knarr/apimachinery/resource.ts";
import { type FieldError, isNotFound, statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceStorage } from "../storage/types.ts";
import type { WriteScope } from "../verbs/write-scope.ts";
import { formatCidr } from "./cidr.ts";
import { type ClusterIps, ownerText } from "./cluster-ips.ts";
import type { NodePorts } from "./node-ports.ts";
import type { ResourceHooks } from "./resource.ts";

interface Allocators {
  readonly ips: ClusterIps;
  readonly ports: NodePorts;
  /** Where Services lie. */
  readonly services: () => ResourceStorage;
}

export function serviceHooks(allocators: Allocators): ResourceHooks {
  return {
    beginCreate: (object, scope) => create(object as Service & KubeObject, scope, allocators),
    beginUpdate: (object, old, scope) =>
      update(object as Service & KubeObject, old as Service & KubeObject, scope, allocators),
    afterDelete: (object, revision) => release(object as Service & KubeObject, revision, allocators),
  };
}

async function create(service: Service & KubeObject, scope: WriteScope, allocators: Allocators): Promise<void> {
  const spec = service.spec;
  if (spec === undefined) return;
  initFamilies(service, spec, allocators);
  await takeClusterIp(service, spec, scope, allocators);
  await takeNodePorts(service, spec, new Set(), scope, allocators.ports);
}

async function update(
  service: Service & KubeObject,
  old: Service & KubeObject,
  scope: WriteScope,
  allocators: Allocators,
): Promise<void> {
  const { spec } = service;
  const before = old.spec;
  if (spec === undefined || before === undefined || scope.subresource !== "") return;
  initFamilies(service, spec, allocators);
  const key = keyOf(service);
  if (needsClusterIp(spec) && (spec.clusterIP !== before.clusterIP || !needsClusterIp(before))) {
    await takeClusterIp(service, spec, scope, allocators);
  }
  const dropped = (before.clusterIPs ?? []).filter((ip) => ip !== "None" && !(spec.clusterIPs ?? []).includes(ip));
  for (const ip of dropped) {
    const mark = scope.dryRun ? undefined : await allocators.ips.markOf(ip);
    if (mark !== undefined) scope.onCommit(() => allocators.ips.release(ip, key, { atMost: mark.revision }));
  }
  const had = portsOf(before);
  await takeNodePorts(service, spec, had, scope, allocators.ports);
  const keep = portsOf(spec);
  const released = [...had].filter((port) => !keep.has(port));
  if (released.length > 0) scope.onCommit(() => allocators.ports.release(released));
}

/** `revision`: of the deletion. A Service made since then under the same name may have asked for the same address. */
async function release(service: Service & KubeObject, revision: number, allocators: Allocators): Promise<void> {
  const { spec } = service;
  if (spec === undefined) return;
  for (const ip of spec.clusterIPs ?? []) {
    if (ip !== "None" && ip !== "") await allocators.ips.release(ip, keyOf(service), { atMost: revision });
  }
  await allocators.ports.release([...portsOf(spec)]);
}

function keyOf(service: Service & KubeObject): ObjectKey {
  return { namespace: service.metadata.namespace ?? "", name: service.metadata.name ?? "" };
}

function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== "ExternalName";
}

function needsNodePorts(spec: ServiceSpec): boolean {
  if (spec.type === "NodePort") return true;
  return spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false;
}

/** Every node port that a spec holds, the health check's too. */
export function portsOf(spec: ServiceSpec): Set<number> {
  const ports = new Set<number>();
  for (const port of spec.ports ?? []) if ((port.nodePort ?? 0) > 0) ports.add(port.nodePort ?? 0);
  if ((spec.healthCheckNodePort ?? 0) > 0) ports.add(spec.healthCheckNodePort ?? 0);
  return ports;
}

/**
 * The families of the Service's addresses: the cluster's one, unless it is asked for what the cluster does not have.
 * Source: service strategy, alloc.go initIPFamilyFields
 */
function initFamilies(service: Service & KubeObject, spec: ServiceSpec, allocators: Allocators): void {
  if (!needsClusterIp(spec)) return;
  const { family } = allocators.ips.cidr;
  const other = family === "IPv4" ? "IPv6" : "IPv4";
  const headless = spec.clusterIP === "None" || spec.clusterIPs?.[0] === "None";
  // Whoever fills in the endpoints of a headless Service by hand may use either family.
  if (headless && Object.keys(spec.selector ?? {}).length === 0) {
    spec.ipFamilyPolicy ??= "RequireDualStack";
    if ((spec.ipFamilies?.length ?? 0) === 0) {
      spec.ipFamilies = spec.ipFamilyPolicy === "SingleStack" ? [family] : [family, other];
    }
    return;
  }
  spec.ipFamilyPolicy ??= "SingleStack";
  if (spec.ipFamilyPolicy === "RequireDualStack" || (spec.ipFamilies?.length ?? 0) > 1) {
    const value = JSON.stringify(spec.ipFamilyPolicy);
    throw invalid(service, "spec.ipFamilyPolicy", value, "this cluster is not configured for dual-stack services");
  }
  const [asked] = spec.ipFamilies ?? [];
  if (asked !== undefined && asked !== family) {
    throw invalid(service, "spec.ipFamilies[0]", JSON.stringify(asked), "not configured on this cluster");
  }
  spec.ipFamilies = [family];
}

async function takeClusterIp(
  service: Service & KubeObject,
  spec: ServiceSpec,
  scope: WriteScope,
  allocators: Allocators,
): Promise<void> {
  const { ips } = allocators;
  if (!needsClusterIp(spec)) return;
  if (spec.clusterIP === undefined || spec.clusterIP === "") {
    const first = spec.clusterIPs?.[0];
    if (first !== undefined) spec.clusterIP = first;
  }
  if (spec.clusterIP === "None") {
    spec.clusterIPs = ["None"];
    return;
  }
  const key = keyOf(service);
  const asked = spec.clusterIP ?? "";
  if (asked === "") {
    // A dry run takes nothing; it shows an address that would have done.
    const address = await (scope.dryRun ? ips.anyFree() : ips.takeAny(key));
    if (address === undefined) {
      throw statusErrors.internal("failed to allocate a serviceIP: range is full");
    }
    if (!scope.dryRun) scope.onRollback(() => ips.release(address, key));
    spec.clusterIP = address;
  } else if (!ips.contains(asked)) {
    throw invalidIp(service, asked, `the provided network (${formatCidr(ips.cidr)}) does not contain ${asked}`);
  } else {
    await takeAskedIp(service, asked, scope, allocators);
  }
  spec.clusterIPs = [spec.clusterIP ?? ""];
}

/** The Service of the API itself: every server writes it, and all the same. */
const OWN_SERVICE = "default/kubernetes";

async function takeAskedIp(
  service: Service & KubeObject,
  address: string,
  scope: WriteScope,
  { ips, services }: Allocators,
): Promise<void> {
  const key = keyOf(service);
  const holds = () => holdsAddress(services(), key, address);
  if (scope.dryRun) {
    const owner = (await ips.markOf(address))?.owner;
    if (owner !== undefined && owner !== ownerText(key)) throw alreadyAllocated(service, address);
    return;
  }
  if (await ips.take(address, key)) return scope.onRollback(() => ips.release(address, key));
  // A create under a name that is there: the store refuses it, and says so better.
  if (await holds()) return;
  const atOnce = ownerText(key) === OWN_SERVICE;
  if (!(await ips.adopt(address, key, { atOnce }))) throw alreadyAllocated(service, address);
  scope.onRollback(async () => {
    if (!(await holds())) await ips.release(address, key);
  });
}

async function holdsAddress(services: ResourceStorage, key: ObjectKey, address: string): Promise<boolean> {
  try {
    const { bytes } = await services.get(key);
    return ((JSON.parse(bytes.toString()) as Service).spec?.clusterIPs ?? []).includes(address);
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

function alreadyAllocated(service: Service & KubeObject, address: string): Error {
  return invalidIp(service, address, "provided IP is already allocated");
}

function invalidIp(service: Service & KubeObject, value: string, why: string): Error {
  return invalid(service, "spec.clusterIPs", JSON.stringify([value]), `failed to allocate IP ${value}: ${why}`);
}

function invalid(service: Service & KubeObject, field: string, value: string, detail: string): Error {
  const error: FieldError = { type: "FieldValueInvalid", field, message: `Invalid value: ${value}: ${detail}` };
  return statusErrors.invalid("", "Service", service.metadata.name ?? "", [error]);
}

async function takeNodePorts(
  service: Service & KubeObject,
  spec: ServiceSpec,
  held: ReadonlySet<number>,
  scope: WriteScope,
  ports: NodePorts,
): Promise<void> {
  const list = spec.ports ?? [];
  // One number may serve TCP and UDP: it is taken once.
  const now = new Set(held);
  for (const [index, port] of list.entries()) {
    const asked = port.nodePort ?? 0;
    if (asked > 0) await takeAsked(service, port, index, now, scope, ports);
  }
  if (!needsNodePorts(spec)) return;
  for (const port of list) {
    if ((port.nodePort ?? 0) > 0) continue;
    const shared = list.find(
      (p) => p !== port && p.port === port.port && p.protocol !== port.protocol && (p.nodePort ?? 0) > 0,
    );
    port.nodePort = shared?.nodePort ?? (await takeOne(now, scope, ports));
    now.add(port.nodePort);
  }
  if (spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local") {
    if ((spec.healthCheckNodePort ?? 0) === 0) spec.healthCheckNodePort = await takeOne(now, scope, ports);
  }
}

async function takeAsked(
  service: Service & KubeObject,
  port: ServicePort,
  index: number,
  now: Set<number>,
  scope: WriteScope,
  ports: NodePorts,
): Promise<void> {
  const asked = port.nodePort ?? 0;
  const field = `spec.ports[${index}].nodePort`;
  if (now.has(asked)) return;
  if (!ports.contains(asked)) {
    throw invalid(
      service,
      field,
      String(asked),
      `provided port is not in the valid range. The range of valid ports is ${ports.rangeText}`,
    );
  }
  const free = scope.dryRun ? !(await ports.taken()).has(asked) : await ports.take(asked);
  if (!free) throw invalid(service, field, String(asked), "provided port is already allocated");
  now.add(asked);
  if (!scope.dryRun) scope.onRollback(() => ports.release([asked]));
}

/** `held` are numbers that this write has already: a dry run marks none of them. */
async function takeOne(held: ReadonlySet<number>, scope: WriteScope, ports: NodePorts): Promise<number> {
  const port = await (scope.dryRun ? ports.anyFree(held) : ports.takeAny());
  if (port === undefined) throw statusErrors.internal("failed to allocate a nodePort: range is full");
  if (!scope.dryRun) scope.onRollback(() => ports.release([port]));
  return port;
}
