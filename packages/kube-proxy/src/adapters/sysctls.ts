/**
 * The kernel settings that Services need. Each is written only when it differs; one that is absent or read-only (in a
 * container, in a network namespace) is logged once and left.
 */
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Config } from "../config.ts";
import type { ProxyMode } from "./backend.ts";

const ROOT = "/proc/sys/net";

export async function readSysctl(path: string): Promise<number | undefined> {
  try {
    return Number((await readFile(`${ROOT}/${path}`, "utf8")).trim());
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

/** Writes it when it differs; `atLeast` leaves a greater value. */
export async function ensureSysctl(path: string, value: number, log: Logger, atLeast = false): Promise<void> {
  const current = await readSysctl(path);
  if (current === value || (atLeast && current !== undefined && current >= value)) return;
  try {
    await writeFile(`${ROOT}/${path}`, String(value));
    log.info({ sysctl: path, value, before: current }, "kernel setting changed");
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    log.warn({ sysctl: path, value, current, reason: (error as Error).message }, "kernel setting can't be changed");
  }
}

function isUnavailable(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return ["ENOENT", "EACCES", "EPERM", "EROFS", "EINVAL"].includes(code);
}

export async function applySysctls(config: Config, mode: ProxyMode, log: Logger): Promise<void> {
  const { conntrack } = config;
  if (config.localhostNodePorts && mode === "iptables") await ensureSysctl("ipv4/conf/all/route_localnet", 1, log);
  if (conntrack.maxPerCore > 0) {
    const max = Math.max(conntrack.maxPerCore * availableParallelism(), conntrack.min);
    await ensureSysctl("netfilter/nf_conntrack_max", max, log, true);
  }
  const seconds: readonly [path: string, ms: number][] = [
    ["netfilter/nf_conntrack_tcp_timeout_established", conntrack.tcpEstablishedMs],
    ["netfilter/nf_conntrack_tcp_timeout_close_wait", conntrack.tcpCloseWaitMs],
  ];
  for (const [path, ms] of seconds) if (ms > 0) await ensureSysctl(path, Math.round(ms / 1000), log);
  if (conntrack.tcpBeLiberal) await ensureSysctl("netfilter/nf_conntrack_tcp_be_liberal", 1, log);
}
