/** Containers and volumes, as describe shows them for pods and for the templates of workloads. */

import type {
  Container,
  ContainerState,
  ContainerStatus,
  PodSpec,
  PodTemplateSpec,
  Probe,
  Volume,
} from "@knarr/api/generated/types/core-v1.ts";
import { type Line, pairs, renderLines } from "../core/lines.ts";
import { describeTime } from "./describe-time.ts";

export function renderContainers(
  title: string,
  containers: readonly Container[] | undefined,
  statuses: readonly ContainerStatus[] | undefined,
): string {
  if (containers === undefined || containers.length === 0) return "";
  const blocks = containers.map((container) => {
    const status = statuses?.find((s) => s.name === container.name);
    return `  ${container.name}:\n${renderLines(containerLines(container, status), 2)}`;
  });
  return `${title}:\n${blocks.join("")}`;
}

function containerLines(container: Container, status: ContainerStatus | undefined): Line[] {
  const ports = (container.ports ?? []).map((p) => `${p.containerPort}/${p.protocol ?? "TCP"}`);
  const hostPorts = (container.ports ?? []).map((p) => `${p.hostPort ?? 0}/${p.protocol ?? "TCP"}`);
  const { requests, limits } = container.resources ?? {};
  return [
    ...(status === undefined ? [] : [["Container ID", status.containerID ?? ""] as const]),
    ["Image", container.image],
    ...(status === undefined ? [] : [["Image ID", status.imageID] as const]),
    [ports.length > 1 ? "Ports" : "Port", ports.join(", ") || "<none>"],
    [hostPorts.length > 1 ? "Host Ports" : "Host Port", hostPorts.join(", ") || "<none>"],
    ...(container.command === undefined ? [] : [["Command", container.command] as const]),
    ...(container.args === undefined ? [] : [["Args", container.args] as const]),
    ...(status === undefined ? [] : statusLines(status)),
    ...(limits === undefined ? [] : [["Limits", pairs(limits, ": ")] as const]),
    ...(requests === undefined ? [] : [["Requests", pairs(requests, ": ")] as const]),
    ...probeLine("Liveness", container.livenessProbe),
    ...probeLine("Readiness", container.readinessProbe),
    ...probeLine("Startup", container.startupProbe),
    ["Environment", (container.env ?? []).map(environmentText)],
    [
      "Mounts",
      (container.volumeMounts ?? []).map((m) => `${m.mountPath} from ${m.name} (${m.readOnly === true ? "ro" : "rw"})`),
    ],
  ];
}

function environmentText(env: NonNullable<Container["env"]>[number]): string {
  const from = env.valueFrom;
  if (from?.fieldRef !== undefined)
    return `${env.name}:   (${from.fieldRef.apiVersion ?? "v1"}:${from.fieldRef.fieldPath})`;
  if (from?.configMapKeyRef !== undefined) {
    return `${env.name}:  <set to the key '${from.configMapKeyRef.key}' of config map '${from.configMapKeyRef.name ?? ""}'>`;
  }
  if (from?.secretKeyRef !== undefined) {
    return `${env.name}:  <set to the key '${from.secretKeyRef.key}' in secret '${from.secretKeyRef.name ?? ""}'>`;
  }
  return `${env.name}:  ${env.value ?? ""}`;
}

function statusLines(status: ContainerStatus): Line[] {
  return [
    ...stateLines("State", status.state),
    ...(status.lastState === undefined || Object.keys(status.lastState).length === 0
      ? []
      : stateLines("Last State", status.lastState)),
    ["Ready", status.ready ? "True" : "False"],
    ["Restart Count", status.restartCount],
  ];
}

function stateLines(title: string, state: ContainerState | undefined): Line[] {
  if (state?.running !== undefined)
    return [
      [title, "Running"],
      ["  Started", describeTime(state.running.startedAt)],
    ];
  if (state?.terminated !== undefined) {
    const t = state.terminated;
    return [
      [title, "Terminated"],
      ...(t.reason === undefined ? [] : [["  Reason", t.reason] as const]),
      ...(t.message === undefined ? [] : [["  Message", t.message] as const]),
      ["  Exit Code", t.exitCode],
      ["  Started", describeTime(t.startedAt)],
      ["  Finished", describeTime(t.finishedAt)],
    ];
  }
  const reason = state?.waiting?.reason;
  return [[title, "Waiting"], ...(reason === undefined ? [] : [["  Reason", reason] as const])];
}

function probeLine(title: string, probe: Probe | undefined): Line[] {
  if (probe === undefined) return [];
  const timing =
    `delay=${probe.initialDelaySeconds ?? 0}s timeout=${probe.timeoutSeconds ?? 1}s period=${probe.periodSeconds ?? 10}s ` +
    `#success=${probe.successThreshold ?? 1} #failure=${probe.failureThreshold ?? 3}`;
  return [[title, `${probeText(probe)} ${timing}`]];
}

function probeText(probe: Probe): string {
  if (probe.exec !== undefined) return `exec [${(probe.exec.command ?? []).join(" ")}]`;
  if (probe.httpGet !== undefined) {
    const { scheme = "HTTP", host = "", port, path = "" } = probe.httpGet;
    return `http-get ${scheme.toLowerCase()}://${host}:${port}${path}`;
  }
  if (probe.tcpSocket !== undefined) return `tcp-socket ${probe.tcpSocket.host ?? ""}:${probe.tcpSocket.port}`;
  if (probe.grpc !== undefined) return `grpc <pod>:${probe.grpc.port} ${probe.grpc.service ?? ""}`;
  return "unknown";
}

export function renderVolumes(spec: PodSpec | undefined): string {
  const volumes = spec?.volumes ?? [];
  if (volumes.length === 0) return "Volumes:  <none>\n";
  return `Volumes:\n${volumes.map((volume) => `  ${volume.name}:\n${renderLines(volumeLines(volume), 2)}`).join("")}`;
}

function volumeLines(volume: Volume): Line[] {
  const { name: _name, ...sources } = volume;
  return Object.entries(sources).flatMap(([kind, source]) => [
    ["Type", kind.replace(/^./, (c) => c.toUpperCase())] as const,
    ...Object.entries((source ?? {}) as Record<string, unknown>).map(
      ([field, value]): Line => [
        field.replace(/^./, (c) => c.toUpperCase()),
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ],
    ),
  ]);
}

/** A pod template by itself, as `rollout history --revision` shows it. */
export function renderTemplate(template: PodTemplateSpec): string {
  return [
    "Pod Template:\n",
    renderLines([["Labels", pairs(template.metadata?.labels)]], 1),
    renderContainers("Containers", template.spec?.containers, undefined).replace(/^(?=.)/gm, "  "),
    renderVolumes(template.spec).replace(/^(?=.)/gm, "  "),
  ].join("");
}
