/**
 * A container's environment: envFrom, env and the variables of Services. Pure: the objects that it names are passed in.
 * Source: kubernetes.io/docs/concepts/services-networking/service#environment-variables
 */
import type {
  ConfigMap,
  Container,
  EnvVar,
  FileKeySelector,
  Pod,
  Secret,
  Service,
} from "@knarr/api/generated/types/core-v1.ts";
import { ContainerConfigError } from "./config-error.ts";
import { expandVariables } from "./expand.ts";
import { type PodFacts, podField, resourceField } from "./pod-fields.ts";

export interface ObjectName {
  readonly kind: "ConfigMap" | "Secret";
  readonly name: string;
}

/** The objects that a container's environment needs, in its pod's namespace. */
export function envObjects(container: Container): ObjectName[] {
  const names: ObjectName[] = [];
  const add = (kind: ObjectName["kind"], name: string | undefined) => {
    if (name !== undefined && !names.some((n) => n.kind === kind && n.name === name)) names.push({ kind, name });
  };
  for (const source of container.envFrom ?? []) {
    if (source.configMapRef !== undefined) add("ConfigMap", source.configMapRef.name ?? "");
    if (source.secretRef !== undefined) add("Secret", source.secretRef.name ?? "");
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.configMapKeyRef !== undefined) add("ConfigMap", valueFrom.configMapKeyRef.name ?? "");
    if (valueFrom?.secretKeyRef !== undefined) add("Secret", valueFrom.secretKeyRef.name ?? "");
  }
  return names;
}

export interface EnvInput {
  readonly facts: PodFacts;
  readonly container: Container;
  readonly configMap: (name: string) => ConfigMap | undefined;
  readonly secret: (name: string) => Secret | undefined;
  /** The value that a file has for a fileKeyRef; undefined when it is optional and not there. */
  readonly fileKey?: (selector: FileKeySelector) => string | undefined;
  /** Told of keys that can be no names of variables and were left out: "Keys [a=b] from the EnvFrom ..." */
  readonly onSkipped?: (message: string) => void;
  /** Of every namespace. */
  readonly services: readonly Service[];
}

/** In the order that containers see; throws ContainerConfigError for what is missing and not optional. */
export function computeEnv(input: EnvInput): { readonly key: string; readonly value: string }[] {
  const { pod } = input.facts;
  const serviceEnv = serviceVariables(input.services, pod);
  const result = new Map<string, string>();
  for (const source of input.container.envFrom ?? []) {
    const skipped: string[] = [];
    for (const [key, value] of envFromEntries(input, source).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const name = `${source.prefix ?? ""}${key}`;
      if (VARIABLE_NAME.test(name)) result.set(name, value);
      else skipped.push(name);
    }
    if (skipped.length > 0) input.onSkipped?.(skippedMessage(pod, source, skipped));
  }
  const visible = new Map([...serviceEnv, ...result]);
  for (const entry of input.container.env ?? []) {
    const value = envValue(input, entry, visible);
    if (value === undefined) continue;
    result.set(entry.name, value);
    visible.set(entry.name, value);
  }
  for (const [key, value] of serviceEnv) if (!result.has(key)) result.set(key, value);
  return [...result].map(([key, value]) => ({ key, value }));
}

/** Printable ASCII but "=". Source: KEP-4369 (relaxed names of environment variables) */
const VARIABLE_NAME = /^[ -<>-~]+$/;

function skippedMessage(pod: Pod, source: EnvFromSource, keys: readonly string[]): string {
  const [kind, name] =
    source.configMapRef === undefined ? ["secret", source.secretRef?.name] : ["configMap", source.configMapRef.name];
  const where = `${kind} ${pod.metadata.namespace ?? ""}/${name ?? ""}`;
  return `Keys [${keys.join(", ")}] from the EnvFrom ${where} were skipped since they are considered invalid environment variable names.`;
}

type EnvFromSource = NonNullable<Container["envFrom"]>[number];

function envFromEntries(input: EnvInput, source: EnvFromSource): [string, string][] {
  if (source.configMapRef !== undefined) {
    const name = source.configMapRef.name ?? "";
    const object = input.configMap(name);
    if (object === undefined) return missing(source.configMapRef.optional, `configmap "${name}" not found`);
    return Object.entries(object.data ?? {});
  }
  if (source.secretRef !== undefined) {
    const name = source.secretRef.name ?? "";
    const object = input.secret(name);
    if (object === undefined) return missing(source.secretRef.optional, `secret "${name}" not found`);
    return Object.entries(object.data ?? {}).map(([key, data]) => [key, decodeBase64(data)]);
  }
  return [];
}

function missing(optional: boolean | undefined, message: string): [] {
  if (optional === true) return [];
  throw new ContainerConfigError(message);
}

/** undefined: an optional source that is not there. */
function envValue(input: EnvInput, entry: EnvVar, visible: ReadonlyMap<string, string>): string | undefined {
  const from = entry.valueFrom;
  if (from === undefined) return expandVariables(entry.value ?? "", visible);
  const { facts } = input;
  const namespace = facts.pod.metadata.namespace ?? "";
  if (from.fieldRef !== undefined) return podField(facts, from.fieldRef);
  if (from.resourceFieldRef !== undefined) return resourceField(facts, from.resourceFieldRef, input.container);
  if (from.configMapKeyRef !== undefined) {
    const { key, name = "", optional } = from.configMapKeyRef;
    const object = input.configMap(name);
    if (object === undefined) return missingValue(optional, `configmap "${name}" not found`);
    const value = object.data?.[key];
    return value ?? missingValue(optional, `couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
  }
  if (from.secretKeyRef !== undefined) {
    const { key, name = "", optional } = from.secretKeyRef;
    const object = input.secret(name);
    if (object === undefined) return missingValue(optional, `secret "${name}" not found`);
    const data = object.data?.[key];
    if (data !== undefined) return decodeBase64(data);
    return missingValue(optional, `couldn't find key ${key} in Secret ${namespace}/${name}`);
  }
  if (from.fileKeyRef !== undefined && input.fileKey !== undefined) return input.fileKey(from.fileKeyRef);
  throw new ContainerConfigError(`environment variable ${entry.name} has a source that this kubelet does not support`);
}

function missingValue(optional: boolean | undefined, message: string): undefined {
  if (optional !== true) throw new ContainerConfigError(message);
  return undefined;
}

function decodeBase64(data: string): string {
  return new TextDecoder().decode(Uint8Array.fromBase64(data));
}

/** "my-svc" -> "MY_SVC" */
function variableName(service: string): string {
  return service.toUpperCase().replaceAll("-", "_");
}

function serviceVariables(services: readonly Service[], pod: Pod): Map<string, string> {
  const namespace = pod.metadata.namespace ?? "";
  const links = pod.spec?.enableServiceLinks ?? true;
  const wanted = services
    .filter((s) => s.spec?.clusterIP !== undefined && s.spec.clusterIP !== "" && s.spec.clusterIP !== "None")
    .filter((s) => isApiServer(s) || (links && s.metadata.namespace === namespace))
    // Names of the pod's own namespace win over default/kubernetes.
    .toSorted((a, b) => Number(a.metadata.namespace === namespace) - Number(b.metadata.namespace === namespace));
  const env = new Map<string, string>();
  for (const service of wanted) for (const [key, value] of variablesOf(service)) env.set(key, value);
  return env;
}

function isApiServer(service: Service): boolean {
  return service.metadata.namespace === "default" && service.metadata.name === "kubernetes";
}

function variablesOf(service: Service): [string, string][] {
  const prefix = variableName(service.metadata.name ?? "");
  const host = service.spec?.clusterIP ?? "";
  const ports = service.spec?.ports ?? [];
  const first = ports[0];
  if (first === undefined) return [];
  const bracketed = host.includes(":") ? `[${host}]` : host;
  const url = (port: (typeof ports)[number]) => `${(port.protocol ?? "TCP").toLowerCase()}://${bracketed}:${port.port}`;
  const result: [string, string][] = [
    [`${prefix}_SERVICE_HOST`, host],
    [`${prefix}_SERVICE_PORT`, String(first.port)],
    [`${prefix}_PORT`, url(first)],
  ];
  for (const port of ports) {
    const protocol = port.protocol ?? "TCP";
    if (port.name !== undefined && port.name !== "") {
      result.push([`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port)]);
    }
    const link = `${prefix}_PORT_${port.port}_${protocol}`;
    result.push([link, url(port)], [`${link}_PROTO`, protocol.toLowerCase()]);
    result.push([`${link}_PORT`, String(port.port)], [`${link}_ADDR`, host]);
  }
  return result;
}
