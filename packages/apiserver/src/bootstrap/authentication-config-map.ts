/**
 * kube-system/extension-apiserver-authentication: how extension API servers and other daemons are to tell who asks them -
 * the clients' CA, and what they need to believe this server as a front proxy.
 * Source: k8s.io/kubernetes/pkg/controlplane/controller/clusterauthenticationtrust; docs
 * tasks/extend-kubernetes/configure-aggregation-layer
 */
import { readFile } from "node:fs/promises";
import { core } from "@knarr/api/generated/resources.ts";
import type { ConfigMap } from "@knarr/api/generated/types/core-v1.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import type { Config } from "../config.ts";
import type { BootstrapTools } from "./system-objects.ts";

const KEY = { namespace: "kube-system", name: "extension-apiserver-authentication" };
const INTERVAL_MS = 60_000;
const RETRY_MS = 1_000;

/** Writes the ConfigMap when it differs from the flags and files; looks again every minute, as CAs are rotated. */
export async function keepAuthenticationConfigMap(
  tools: BootstrapTools,
  config: Config,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = tools;
  while (!signal.aborted) {
    let waitMs = INTERVAL_MS;
    try {
      await write(tools, await dataOf(config), signal);
    } catch (error) {
      if (signal.aborted) return;
      // The namespace may not be there yet, or the server not ready: the next turn tries again.
      log.debug({ err: error }, "authentication ConfigMap not written");
      waitMs = RETRY_MS;
    }
    try {
      await clock.sleep(waitMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }
}

async function dataOf(config: Config): Promise<Record<string, string>> {
  const { clientCaFile, requestheaderClientCaFile } = config;
  const list = (values: readonly string[]) => JSON.stringify(values);
  return {
    ...(clientCaFile === "" ? {} : { "client-ca-file": await readFile(clientCaFile, "utf8") }),
    ...(requestheaderClientCaFile === ""
      ? {}
      : {
          "requestheader-client-ca-file": await readFile(requestheaderClientCaFile, "utf8"),
          "requestheader-allowed-names": list(config.requestheaderAllowedNames),
          "requestheader-username-headers": list(config.requestheaderUsernameHeaders),
          "requestheader-uid-headers": list(config.requestheaderUidHeaders),
          "requestheader-group-headers": list(config.requestheaderGroupHeaders),
          "requestheader-extra-headers-prefix": list(config.requestheaderExtraHeadersPrefix),
        }),
  };
}

/** Keys of others in it stay. */
async function write({ client }: BootstrapTools, data: Record<string, string>, signal: AbortSignal): Promise<void> {
  let current: ConfigMap | undefined;
  try {
    current = await client.get(core.configmaps, KEY, { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  if (current === undefined) {
    if (Object.keys(data).length > 0) await client.create(core.configmaps, { metadata: KEY, data }, { signal });
    return;
  }
  const isSame = Object.entries(data).every(([name, value]) => current.data?.[name] === value);
  if (!isSame) await client.update(core.configmaps, { ...current, data: { ...current.data, ...data } }, { signal });
}
