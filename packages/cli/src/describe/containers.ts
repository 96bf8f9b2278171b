/** Containers of pods and of pod templates. Source: kubectl/pkg/describe/describe.go (layout). */
import type {
  Container,
  ContainerState,
  ContainerStatus,
  EnvVar,
  Pod,
  Probe,
  ResourceRequirements,
} from "@knarr/api/generated/types/core-v1.ts";
import { cpuMillis, quantityValue } from "@knarr/apimachinery/quantity.ts";
import { describeTime } from "./describe-time.ts";
import { type Description, orNone } from "./description.ts";

/** `space` is "" for pods and "  " inside a template; `pod` resolves fields that refer to it. */
export function describeContainers(
  out: Description,
  label: string,
  containers: readonly Container[] | undefined,
  statuses: readonly ContainerStatus[] | undefined,
  space: string,
  pod?: Pod,
): void {
  out.line(0, `${space}${label}:${(containers ?? []).length === 0 ? " <none>" : ""}`);
  for (const container of containers ?? []) {
    const status = statuses?.find((s) => s.name === container.name);
    out.line(1, `${space === "" ? "" : " "}${container.name}:`);
    if (status !== undefined) out.field(2, "Container ID", status.containerID ?? "");
    out.field(2, "Image", container.image ?? "");
    if (status !== undefined) out.field(2, "Image ID", status.imageID ?? "");
    const ports = container.ports ?? [];
    const text = (port: (p: (typeof ports)[number]) => number | undefined) =>
      ports
        .map(
          (p) => `${port(p) ?? 0}/${p.protocol ?? "TCP"}${p.name === undefined || p.name === "" ? "" : ` (${p.name})`}`,
        )
        .join(", ");
    const many = ports.length > 1 ? "s" : "";
    out.field(2, `Port${many}`, orNone(text((p) => p.containerPort)));
    out.field(2, `Host Port${many}`, orNone(text((p) => p.hostPort)));
    const profile = container.securityContext?.seccompProfile;
    if (profile !== undefined) out.field(2, "SeccompProfile", profile.type);
    words(out, "Command", container.command);
    words(out, "Args", container.args);
    if (status !== undefined) describeState(out, status);
    describeResources(out, container.resources, 2);
    probe(out, "Liveness", container.livenessProbe);
    probe(out, "Readiness", container.readinessProbe);
    probe(out, "Startup", container.startupProbe);
    describeEnvironment(out, container, pod);
    describeMounts(out, container);
  }
}

function words(out: Description, title: string, list: readonly string[] | undefined): void {
  if (list === undefined || list.length === 0) return;
  out.line(2, `${title}:`);
  for (const word of list) for (const part of word.split("\n")) out.line(3, part);
}

function describeState(out: Description, status: ContainerStatus): void {
  state(out, "State", status.state);
  if (status.lastState?.terminated !== undefined) state(out, "Last State", status.lastState);
  out.field(2, "Ready", capital(status.ready));
  out.field(2, "Restart Count", status.restartCount);
}

const capital = (value: boolean | undefined) => (value === true ? "True" : "False");

function state(out: Description, title: string, found: ContainerState | undefined): void {
  const { running, waiting, terminated } = found ?? {};
  if (running !== undefined) {
    out.field(2, title, "Running");
    out.field(3, "Started", describeTime(running.startedAt) ?? "");
  } else if (terminated !== undefined) {
    out.field(2, title, "Terminated");
    if ((terminated.reason ?? "") !== "") out.field(3, "Reason", terminated.reason);
    if ((terminated.message ?? "") !== "") out.field(3, "Message", terminated.message);
    out.field(3, "Exit Code", terminated.exitCode);
    if ((terminated.signal ?? 0) > 0) out.field(3, "Signal", terminated.signal);
    out.field(3, "Started", describeTime(terminated.startedAt) ?? "");
    out.field(3, "Finished", describeTime(terminated.finishedAt) ?? "");
  } else {
    out.field(2, title, "Waiting");
    if ((waiting?.reason ?? "") !== "") out.field(3, "Reason", waiting?.reason);
  }
}

export function describeResources(out: Description, resources: ResourceRequirements | undefined, level: number): void {
  for (const part of ["limits", "requests"] as const) {
    const map = (resources?.[part] ?? {}) as Readonly<Record<string, string>>;
    const entries = Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
    if (entries.length === 0) continue;
    out.line(level, `${part === "limits" ? "Limits" : "Requests"}:`);
    for (const [name, value] of entries) out.field(level + 1, name, value);
  }
}

function probe(out: Description, title: string, found: Probe | undefined): void {
  if (found !== undefined) out.field(2, title, probeText(found));
}

export function probeText(p: Probe): string {
  const attributes =
    `delay=${p.initialDelaySeconds ?? 0}s timeout=${p.timeoutSeconds ?? 0}s period=${p.periodSeconds ?? 0}s ` +
    `#success=${p.successThreshold ?? 0} #failure=${p.failureThreshold ?? 0}`;
  if (p.exec !== undefined) return `exec [${(p.exec.command ?? []).join(" ")}] ${attributes}`;
  if (p.httpGet !== undefined) {
    const { scheme = "HTTP", host = "", port, path = "" } = p.httpGet;
    const shownPort = port === undefined || port === "" ? "" : `:${port}`;
    return `http-get ${scheme.toLowerCase()}://${host}${shownPort}${path} ${attributes}`;
  }
  if (p.tcpSocket !== undefined) return `tcp-socket ${p.tcpSocket.host ?? ""}:${p.tcpSocket.port} ${attributes}`;
  if (p.grpc !== undefined) return `grpc <pod>:${p.grpc.port} ${p.grpc.service ?? ""} ${attributes}`;
  return `unknown ${attributes}`;
}

function describeEnvironment(out: Description, container: Container, pod: Pod | undefined): void {
  if ((container.envFrom ?? []).length > 0) {
    out.line(2, "Environment Variables from:");
    for (const { configMapRef, secretRef, prefix = "" } of container.envFrom ?? []) {
      const ref = configMapRef ?? secretRef;
      const from = configMapRef === undefined ? "Secret" : "ConfigMap";
      const with_ = prefix === "" ? "" : ` with prefix '${prefix}'`;
      out.line(3, `${ref?.name ?? ""}\t${from}${with_}\tOptional: ${ref?.optional === true}`);
    }
  }
  const variables = container.env ?? [];
  out.line(2, `Environment:${variables.length === 0 ? "\t<none>" : ""}`);
  for (const variable of variables) describeVariable(out, variable, container, pod);
}

function describeVariable(
  out: Description,
  { name, value = "", valueFrom }: EnvVar,
  container: Container,
  pod: Pod | undefined,
): void {
  const { fieldRef, resourceFieldRef, secretKeyRef, configMapKeyRef, fileKeyRef } = valueFrom ?? {};
  if (valueFrom === undefined) {
    for (const [i, part] of value.split("\n").entries()) out.line(3, i === 0 ? `${name}:\t${part}` : `\t${part}`);
  } else if (fieldRef !== undefined) {
    const found = pod === undefined ? "" : fieldOf(pod, fieldRef.fieldPath ?? "");
    out.line(3, `${name}:\t${found} (${fieldRef.apiVersion ?? "v1"}:${fieldRef.fieldPath})`);
  } else if (resourceFieldRef !== undefined) {
    const found = resourceOf(container, resourceFieldRef.resource ?? "", pod !== undefined);
    out.line(3, `${name}:\t${found} (${resourceFieldRef.resource})`);
  } else if (secretKeyRef !== undefined) {
    out.line(
      3,
      `${name}:\t<set to the key '${secretKeyRef.key}' in secret '${secretKeyRef.name}'>\tOptional: ${secretKeyRef.optional === true}`,
    );
  } else if (configMapKeyRef !== undefined) {
    out.line(
      3,
      `${name}:\t<set to the key '${configMapKeyRef.key}' of config map '${configMapKeyRef.name}'>\tOptional: ${configMapKeyRef.optional === true}`,
    );
  } else if (fileKeyRef !== undefined) {
    out.line(
      3,
      `${name}:\t<set to the key '${fileKeyRef.key}' of file '${fileKeyRef.path}' in volume '${fileKeyRef.volumeName}'>\tOptional: ${fileKeyRef.optional === true}`,
    );
  }
}

/** The fields that kubectl resolves: metadata by path, spec and status by name. */
function fieldOf({ metadata, spec, status }: Pod, path: string): string {
  const known: Readonly<Record<string, string | undefined>> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "spec.nodeName": spec?.nodeName,
    "spec.serviceAccountName": spec?.serviceAccountName,
    "status.hostIP": status?.hostIP,
    "status.podIP": status?.podIP,
    "status.podIPs": status?.podIPs?.map((p) => p.ip).join(","),
  };
  const [, kind, key = ""] = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path) ?? [];
  if (kind === "labels" || kind === "annotations") return metadata[kind]?.[key] ?? "";
  return known[path] ?? "";
}

function resourceOf(container: Container, resource: string, resolves: boolean): string {
  if (!resolves) return "";
  const [part = "", name = ""] = resource.split(".");
  const quantity = (container.resources?.[part as "limits" | "requests"] as Record<string, string> | undefined)?.[name];
  if (quantity === undefined) return "0";
  return String(name === "cpu" ? Math.ceil(cpuMillis(quantity) / 1000) : quantityValue(quantity));
}

function describeMounts(out: Description, container: Container): void {
  const mounts = (container.volumeMounts ?? []).toSorted((a, b) => (a.mountPath < b.mountPath ? -1 : 1));
  out.line(2, `Mounts:${mounts.length === 0 ? "\t<none>" : ""}`);
  for (const mount of mounts) {
    const flags = [
      mount.readOnly === true ? "ro" : "rw",
      ...((mount.subPath ?? "") === "" ? [] : [`path=${JSON.stringify(mount.subPath)}`]),
    ];
    out.line(3, `${mount.mountPath} from ${mount.name} (${flags.join(",")})`);
  }
  const devices = container.volumeDevices ?? [];
  if (devices.length === 0) return;
  out.line(2, "Devices:");
  for (const device of devices) out.line(3, `${device.devicePath} from ${device.name}`);
}
