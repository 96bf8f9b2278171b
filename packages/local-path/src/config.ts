/** local-path's flags and the one Config made of them. */
import { hostname } from "node:os";
import { isAbsolute, normalize } from "node:path";
import { durationFlag, type FlagValues, stringFlag, UsageError } from "@knarr/daemon/flags.ts";

export const flags = {
  kubeconfig: stringFlag({ help: "path to the kubeconfig file with the API server's address", placeholder: "path" }),
  hostnameOverride: stringFlag({ help: "this node's name, instead of the host name" }),
  storageDir: stringFlag({
    help: "folder that holds the volumes",
    default: "/var/lib/knarr/local-path",
    placeholder: "path",
  }),
  provisioner: stringFlag({ help: "the StorageClasses' provisioner that this is", default: "knarr.dev/local-path" }),
  syncPeriodMs: durationFlag({ help: "how often everything is looked at again", default: "1m" }),
  healthzBindAddress: stringFlag({
    help: "address and port of /healthz and /metrics; empty disables them",
    default: "127.0.0.1:10245",
  }),
} as const;

export interface Config {
  readonly kubeconfig: string;
  readonly nodeName: string;
  readonly storageDir: string;
  readonly provisioner: string;
  readonly syncPeriodMs: number;
  readonly healthz: { readonly host: string; readonly port: number } | undefined;
}

/** Throws UsageError naming the flag. */
export function loadConfig(values: FlagValues<typeof flags>): Config {
  const storageDir = normalize(values.storageDir).replace(/\/+$/, "");
  if (!isAbsolute(storageDir) || storageDir === "") {
    throw new UsageError(
      `invalid value ${JSON.stringify(values.storageDir)} for --storage-dir: must be an absolute path below /`,
    );
  }
  if (!values.provisioner.includes("/")) {
    throw new UsageError("--provisioner must be a name such as knarr.dev/local-path");
  }
  return Object.freeze({
    kubeconfig: values.kubeconfig,
    nodeName: (values.hostnameOverride.trim() || hostname()).toLowerCase(),
    storageDir,
    provisioner: values.provisioner,
    syncPeriodMs: values.syncPeriodMs,
    healthz: parseHostPort(values.healthzBindAddress),
  });
}

function parseHostPort(text: string): Config["healthz"] {
  if (text === "") return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65535) {
    throw new UsageError(`invalid value ${JSON.stringify(text)} for --healthz-bind-address: must be address:port`);
  }
  return { host: match[1] ?? match[2] ?? "", port: Number(match[3]) };
}
