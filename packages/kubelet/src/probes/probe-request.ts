/** What a probe or a lifecycle hook asks of a container, with the defaults and the named ports resolved. Pure. */
import type { Container, HTTPGetAction, Probe } from "@knarr/api/generated/types/core-v1.ts";
import type { ProbeResult } from "../core/probe-state.ts";

export interface ProbeAnswer {
  readonly result: ProbeResult;
  /** Shown in the Unhealthy event. */
  readonly output: string;
  /** A success that somebody should know about: told in an event of its own. */
  readonly warning?: boolean;
}

export interface HttpTarget {
  readonly url: URL;
  readonly headers: readonly (readonly [string, string])[];
}

/** A port by number or by its name in the container. Throws for a name that no port has. */
export function resolvePort(port: number | string, container: Container): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find((p) => p.name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65535) throw new Error(`couldn't find port: ${port}`);
  return number;
}

/** `podIp` stands for a host that the action does not name. */
export function httpTarget(action: HTTPGetAction, container: Container, podIp: string): HttpTarget {
  const scheme = (action.scheme ?? "HTTP").toLowerCase();
  const host = action.host === undefined || action.host === "" ? podIp : action.host;
  const path = action.path ?? "/";
  const port = resolvePort(action.port, container);
  const bracketed = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const url = new URL(`${scheme}://${bracketed}:${port}${path.startsWith("/") ? path : `/${path}`}`);
  return { url, headers: (action.httpHeaders ?? []).map((h) => [h.name, h.value] as const) };
}

/** "http", "tcp", "exec" or "grpc"; undefined for a probe without a handler. */
export function probeHandler(probe: Probe): "http" | "tcp" | "exec" | "grpc" | undefined {
  if (probe.httpGet !== undefined) return "http";
  if (probe.tcpSocket !== undefined) return "tcp";
  if (probe.exec !== undefined) return "exec";
  return probe.grpc === undefined ? undefined : "grpc";
}
