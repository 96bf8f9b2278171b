/** From the global flags and the kubeconfig to a client. */
import { readFileSync } from "node:fs";
import { Client } from "@knarr/client/client.ts";
import { inClusterConfig } from "@knarr/client/in-cluster-config.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { KubeconfigError } from "@knarr/client/kubeconfig-file.ts";
import type { RestConfig } from "@knarr/client/rest-config.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions } from "./verb.ts";

const VERSION = "v1.36.0";

export async function connect(options: GlobalOptions, context: CliContext): Promise<Connection> {
  const config = baseConfig(options, context);
  const client = new Client(overridden(config, options), {
    userAgent: `knarr/${VERSION}`,
    requestTimeoutMs: requestTimeoutMs(options),
    onWarning: warningSink(context),
  });
  return {
    client,
    namespace: options.namespace ?? config.namespace ?? "default",
    namespaceGiven: options.namespace !== undefined,
  };
}

/** Each warning once, in kubectl's form. */
function warningSink(context: CliContext): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    if (told.has(text)) return;
    told.add(text);
    context.stderr.write(`Warning: ${text}\n`);
  };
}

function baseConfig(options: GlobalOptions, context: CliContext): RestConfig {
  const { kubeconfig: path, context: name, cluster, user, server } = options;
  try {
    return loadKubeconfig({ path, context: name, cluster, user, env: { ...context.env } });
  } catch (error) {
    const asked = path !== undefined || name !== undefined || cluster !== undefined || user !== undefined;
    if (!(error instanceof KubeconfigError) || asked) throw error;
    // In a pod there is no kubeconfig, but a service account.
    if (context.env.KUBERNETES_SERVICE_HOST !== undefined && context.env.KUBECONFIG === undefined) {
      return inClusterConfig({ env: { ...context.env } });
    }
    if (server === undefined) throw error;
    return { server };
  }
}

function overridden(config: RestConfig, options: GlobalOptions): RestConfig {
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  const [ca, cert, key] = [options.certificateAuthority, options.clientCertificate, options.clientKey].map(read);
  const replaced = ca !== undefined || cert !== undefined || key !== undefined;
  const { credentials, ...rest } = config;
  const impersonated = options.as ?? config.impersonate?.user;
  return {
    ...rest,
    ...(replaced ? { ca: ca ?? config.ca, cert: cert ?? config.cert, key: key ?? config.key } : { credentials }),
    ...(options.server === undefined ? {} : { server: options.server }),
    ...(options.token === undefined ? {} : { token: options.token }),
    ...(options.insecureSkipTlsVerify === true ? { insecureSkipTlsVerify: true } : {}),
    ...(options.tlsServerName === undefined ? {} : { tlsServerName: options.tlsServerName }),
    impersonate:
      impersonated === undefined
        ? undefined
        : {
            user: impersonated,
            groups: options.asGroup ?? config.impersonate?.groups,
            uid: options.asUid ?? config.impersonate?.uid,
            extra: extrasOf(options.asUserExtra ?? []),
          },
  };
}

function extrasOf(pairs: readonly string[]): Record<string, string[]> {
  const extras: Record<string, string[]> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals <= 0) throw new CliError(`invalid --as-user-extra ${JSON.stringify(pair)}: must be key=value`);
    const key = pair.slice(0, equals);
    extras[key] = [...(extras[key] ?? []), pair.slice(equals + 1)];
  }
  return extras;
}

/** kubectl's --request-timeout: a bare number is seconds, 0 means none. */
function requestTimeoutMs(options: GlobalOptions): number | undefined {
  const text = options.requestTimeout ?? "0";
  try {
    const ms = /^\d+$/.test(text) ? Number(text) * 1000 : parseGoDurationMs(text);
    return ms === 0 ? undefined : ms;
  } catch (error) {
    throw new CliError(`invalid --request-timeout ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
}
