/** From the global flags and the kubeconfig to a client. */
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import { parseGoDurationMs } from "@knarr/daemon/flags.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions } from "./verb.ts";

const VERSION = "v1.36.0";

export async function connect(options: GlobalOptions, context: CliContext): Promise<Connection> {
  const config = await loadKubeconfig({
    ...(options.kubeconfig === undefined ? {} : { path: options.kubeconfig }),
    ...(options.context === undefined ? {} : { context: options.context }),
    env: context.env,
  });
  const client = new Client(
    {
      ...config,
      ...(options.server === undefined ? {} : { server: options.server }),
      ...(options.token === undefined ? {} : { token: options.token }),
    },
    { userAgent: `knarr/${VERSION}`, requestTimeoutMs: requestTimeoutMs(options) },
  );
  return {
    client,
    namespace: options.namespace ?? config.namespace ?? "default",
    namespaceGiven: options.namespace !== undefined,
  };
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
