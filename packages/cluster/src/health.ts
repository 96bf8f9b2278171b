/** Asks components how they are. */

import { request as httpsRequest } from "node:https";
import { createConnection } from "node:net";
import { systemClock } from "@knarr/daemon/clock.ts";
import { request as httpRequest } from "@knarr/daemon/node-http.ts";
import type { ComponentSpec, HealthProbe } from "./components.ts";

const PROBE_TIMEOUT_MS = 2000;

/** Undefined when well, else a short reason. */
export function probeHealth(probe: HealthProbe): Promise<string | undefined> {
  switch (probe.kind) {
    case "socket":
      return probeSocket(probe.path);
    case "unix":
      return probeUrl(`http://localhost${probe.path}`, probe.socket);
    case "http":
    case "https":
      return probeUrl(probe.url);
    default:
      throw new Error(`unknown probe ${JSON.stringify(probe satisfies never)}`);
  }
}

function probeSocket(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.setTimeout(PROBE_TIMEOUT_MS, () => socket.destroy(new Error("timeout")));
    socket.once("connect", () => {
      resolve(undefined);
      socket.destroy();
    });
    socket.once("error", (error) => resolve(error.message));
  });
}

function probeUrl(url: string, socketPath?: string): Promise<string | undefined> {
  const request = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    // Health says ok or not and nothing secret is sent, so the server need not prove who it is.
    const options = { timeout: PROBE_TIMEOUT_MS, rejectUnauthorized: false, agent: false };
    const call = request(url, socketPath === undefined ? options : { ...options, socketPath }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", (error) => resolve(error.message));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8").trim();
        const failed = text.split("\n").filter((line) => line.startsWith("[-]"));
        resolve(response.statusCode === 200 ? undefined : failed.join(", ") || `status ${response.statusCode}`);
      });
    });
    call.on("timeout", () => call.destroy(new Error("timeout")));
    call.on("error", (error) => resolve(error.message));
    call.end();
  });
}

/** Polls until the component is well. Throws with its last complaint at the deadline. */
export async function waitUntilHealthy(spec: ComponentSpec, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const complaint = await probeHealth(spec.health);
    if (complaint === undefined) return;
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new Error(`${spec.name} is not well after ${timeoutMs / 1000} s: ${complaint}`);
    }
    await systemClock.sleep(50, signal);
  }
}
