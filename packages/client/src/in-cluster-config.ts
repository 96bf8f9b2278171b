/** The RestConfig of a process inside a pod. Source: kubernetes.io/docs/tasks/run-application/access-api-from-pod */
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { FileSource } from "./file-source.ts";
import { KubeconfigError } from "./kubeconfig-file.ts";
import type { RestConfig, TlsCredentials } from "./rest-config.ts";

const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Throws KubeconfigError outside of a pod. The token is read again as the kubelet renews it. */
export function inClusterConfig(
  options: { readonly env?: NodeJS.ProcessEnv; readonly dir?: string; readonly clock?: Clock } = {},
): RestConfig {
  const { env = process.env, dir = SERVICE_ACCOUNT_DIR, clock = systemClock } = options;
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT;
  if (host === undefined || host === "" || port === undefined || port === "") {
    throw new KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  }
  const token = new FileSource(`${dir}/token`, clock);
  const ca = new FileSource(`${dir}/ca.crt`, clock);
  let credentials: TlsCredentials = {};
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    token: async () => (await token.read()).toString("utf8").trim(),
    refreshToken: () => token.invalidate(),
    credentials: async () => {
      const current = await ca.read();
      if (current !== credentials.ca) credentials = { ca: current };
      return credentials;
    },
  };
}
