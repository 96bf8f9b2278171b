/**
 * What makes a Docker container one of ours, and how the runtime interface's own data is kept on it. All of that data is one
 * JSON label, so that no pod's label or annotation can pass for ours; Kubernetes' usual labels are repeated in the open,
 * for `docker ps --filter` and other people's tools. Pure.
 *
 *   dev.knarr.cri            "sandbox" | "container"
 *   dev.knarr.cri.sandbox    the sandbox's container id (containers only)
 *   dev.knarr.cri.config     JSON of SandboxRecord or ContainerRecord
 *   dev.knarr.cri.owner      the state folder of the kubelet that made it: several may share an engine
 *   io.kubernetes.*          as the kubelet gave them
 */
import { createHash } from "node:crypto";
import type { ContainerConfig, Mount, NamespaceMode, SandboxConfig, SandboxMetadata, StringMap } from "../types.ts";
import type { EngineLabels } from "./engine-types.ts";

export const Label = {
  kind: "dev.knarr.cri",
  sandbox: "dev.knarr.cri.sandbox",
  config: "dev.knarr.cri.config",
  owner: "dev.knarr.cri.owner",
} as const;

export interface SandboxRecord {
  readonly metadata: SandboxMetadata;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly logDirectory: string;
  readonly networkMode: NamespaceMode;
  readonly runtimeHandler: string;
}

export interface ContainerRecord {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Absolute; "" when nobody asked for a log. */
  readonly logPath: string;
  readonly mounts: readonly Mount[];
}

const VISIBLE = "io.kubernetes.";

function visible(labels: StringMap): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => name.startsWith(VISIBLE)));
}

export function sandboxRecord(config: SandboxConfig, runtimeHandler: string): SandboxRecord {
  return {
    metadata: config.metadata,
    labels: config.labels ?? {},
    annotations: config.annotations ?? {},
    logDirectory: config.logDirectory ?? "",
    networkMode: config.linux?.securityContext?.namespaceOptions.network ?? "POD",
    runtimeHandler,
  };
}

export function containerRecord(config: ContainerConfig, logDirectory: string): ContainerRecord {
  const { logPath = "" } = config;
  return {
    name: config.metadata.name,
    attempt: config.metadata.attempt,
    image: config.image.userSpecifiedImage ?? config.image.image,
    labels: config.labels ?? {},
    annotations: config.annotations ?? {},
    logPath: logPath === "" || logDirectory === "" ? "" : `${logDirectory}/${logPath}`,
    mounts: config.mounts ?? [],
  };
}

export function sandboxLabels(record: SandboxRecord, owner: string): Record<string, string> {
  return {
    ...visible(record.labels),
    [Label.kind]: "sandbox",
    [Label.owner]: owner,
    [Label.config]: JSON.stringify(record),
  };
}

export function containerLabels(record: ContainerRecord, sandboxId: string, owner: string): Record<string, string> {
  return {
    ...visible(record.labels),
    [Label.kind]: "container",
    [Label.sandbox]: sandboxId,
    [Label.owner]: owner,
    [Label.config]: JSON.stringify(record),
  };
}

type Owned =
  | { readonly kind: "sandbox"; readonly record: SandboxRecord }
  | { readonly kind: "container"; readonly sandboxId: string; readonly record: ContainerRecord };

/** undefined for containers that are not ours, are another kubelet's, or whose label somebody made up. */
export function ownedOf(labels: EngineLabels | null, owner: string): Owned | undefined {
  // Containers of a kubelet that did not say whose they were are nobody else's.
  if ((labels?.[Label.owner] ?? owner) !== owner) return undefined;
  const kind = labels?.[Label.kind];
  const text = labels?.[Label.config];
  if (text === undefined || (kind !== "sandbox" && kind !== "container")) return undefined;
  const record = parseRecord(text);
  if (record === undefined) return undefined;
  if (kind === "sandbox") return { kind, record: record as SandboxRecord };
  return { kind, sandboxId: labels?.[Label.sandbox] ?? "", record: record as ContainerRecord };
}

function parseRecord(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined; // Not JSON: not written by us.
  }
}

/** Docker's names are unique on a node; these are dockershim's, which people know from `docker ps`. */
export function sandboxName({ name, namespace, uid, attempt }: SandboxMetadata): string {
  return dockerName(["k8s", "POD", name, namespace, uid, String(attempt)]);
}

export function containerName(container: string, attempt: number, pod: SandboxMetadata): string {
  return dockerName(["k8s", container, pod.name, pod.namespace, pod.uid, String(attempt)]);
}

/** Docker takes [a-zA-Z0-9_.-] and has no limit worth naming, but host names of 250 letters are nobody's friend. */
function dockerName(parts: readonly string[]): string {
  const name = parts.join("_").replaceAll(/[^a-zA-Z0-9_.-]/g, "-");
  if (name.length <= 240) return name;
  return `${name.slice(0, 200)}_${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}
