/**
 * kubeconfig files as data: reading, merging a list of them, picking a context.
 * Source: kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig
 */
import { dirname, isAbsolute, join } from "node:path";
import { parse } from "yaml";

export interface ExecEnvVar {
  name: string;
  value: string;
}
export interface ExecConfig {
  apiVersion: string;
  command: string;
  args?: string[] | null;
  env?: ExecEnvVar[] | null;
  installHint?: string;
  provideClusterInfo?: boolean;
  interactiveMode?: string;
}
export interface KubeconfigCluster {
  server?: string;
  "certificate-authority"?: string;
  "certificate-authority-data"?: string;
  "insecure-skip-tls-verify"?: boolean;
  "tls-server-name"?: string;
  "proxy-url"?: string;
}
export interface KubeconfigUser {
  "client-certificate"?: string;
  "client-certificate-data"?: string;
  "client-key"?: string;
  "client-key-data"?: string;
  token?: string;
  tokenFile?: string;
  username?: string;
  password?: string;
  as?: string;
  "as-uid"?: string;
  "as-groups"?: string[];
  exec?: ExecConfig;
  "auth-provider"?: { name: string };
}
export interface KubeconfigContext {
  cluster?: string;
  user?: string;
  namespace?: string;
}
export interface Kubeconfig {
  currentContext: string;
  clusters: Map<string, KubeconfigCluster>;
  users: Map<string, KubeconfigUser>;
  contexts: Map<string, KubeconfigContext>;
}

/** What is wrong with a kubeconfig, in words for its owner. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

const CLUSTER_PATHS = ["certificate-authority"] as const;
const USER_PATHS = ["client-certificate", "client-key", "tokenFile"] as const;

/** Reads one file's text. Relative paths in it become relative to the file's folder. Throws KubeconfigError. */
export function parseKubeconfig(text: string, file: string): Kubeconfig {
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new KubeconfigError(`${file} is not YAML: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  const root = (document ?? {}) as Record<string, unknown>;
  if (typeof root !== "object" || Array.isArray(root)) throw new KubeconfigError(`${file} is not a kubeconfig`);
  const kubeconfig: Kubeconfig = {
    currentContext: typeof root["current-context"] === "string" ? root["current-context"] : "",
    clusters: entriesOf<KubeconfigCluster>(root, "clusters", "cluster", file),
    users: entriesOf<KubeconfigUser>(root, "users", "user", file),
    contexts: entriesOf<KubeconfigContext>(root, "contexts", "context", file),
  };
  const dir = dirname(file);
  for (const cluster of kubeconfig.clusters.values()) absolutise(cluster, CLUSTER_PATHS, dir);
  for (const user of kubeconfig.users.values()) absolutise(user, USER_PATHS, dir);
  return kubeconfig;
}

function absolutise<K extends string>(entry: { [P in K]?: string }, keys: readonly K[], dir: string): void {
  for (const key of keys) {
    const path: string | undefined = entry[key];
    if (path !== undefined && path !== "" && !isAbsolute(path)) entry[key] = join(dir, path);
  }
}

function entriesOf<T>(root: Record<string, unknown>, list: string, field: string, file: string): Map<string, T> {
  const result = new Map<string, T>();
  const items = root[list] ?? [];
  if (!Array.isArray(items)) throw new KubeconfigError(`${file}: ${list} must be a list`);
  for (const item of items as Record<string, unknown>[]) {
    const name = item?.name;
    if (typeof name !== "string") throw new KubeconfigError(`${file}: an entry of ${list} has no name`);
    if (!result.has(name)) result.set(name, (item[field] ?? {}) as T);
  }
  return result;
}

/** The first file to set a value wins, whole entries at a time. */
export function mergeKubeconfigs(files: readonly Kubeconfig[]): Kubeconfig {
  const merged: Kubeconfig = { currentContext: "", clusters: new Map(), users: new Map(), contexts: new Map() };
  for (const file of files) {
    if (merged.currentContext === "") merged.currentContext = file.currentContext;
    for (const part of ["clusters", "users", "contexts"] as const) {
      const into = merged[part] as Map<string, unknown>;
      for (const [name, value] of file[part]) if (!into.has(name)) into.set(name, value);
    }
  }
  return merged;
}

export interface SelectedContext {
  readonly name: string;
  readonly cluster: KubeconfigCluster & { server: string };
  readonly user: KubeconfigUser;
  readonly namespace: string | undefined;
}

/** The named context, or the current one. Throws KubeconfigError naming what is missing. */
export function selectContext(
  kubeconfig: Kubeconfig,
  contextName?: string,
  overrides: { readonly cluster?: string | undefined; readonly user?: string | undefined } = {},
): SelectedContext {
  const name = contextName ?? kubeconfig.currentContext;
  const stands = overrides.cluster !== undefined && contextName === undefined;
  if (name === "" && !stands) throw new KubeconfigError("the kubeconfig has no current-context and none was asked for");
  const named = kubeconfig.contexts.get(name);
  if (named === undefined && !stands) throw new KubeconfigError(`context "${name}" does not exist in the kubeconfig`);
  const context = {
    ...named,
    ...(overrides.cluster === undefined ? {} : { cluster: overrides.cluster }),
    ...(overrides.user === undefined ? {} : { user: overrides.user }),
  };
  const cluster = kubeconfig.clusters.get(context.cluster ?? "");
  if (cluster === undefined) {
    throw new KubeconfigError(`context "${name}" names the cluster "${context.cluster ?? ""}", which does not exist`);
  }
  const { server } = cluster;
  if (server === undefined || server === "") throw new KubeconfigError(`cluster "${context.cluster}" has no server`);
  if (cluster["proxy-url"] !== undefined && cluster["proxy-url"] !== "") {
    throw new KubeconfigError(`cluster "${context.cluster}" has a proxy-url; proxies are not supported`);
  }
  const user = context.user === undefined || context.user === "" ? {} : kubeconfig.users.get(context.user);
  if (user === undefined) {
    throw new KubeconfigError(`context "${name}" names the user "${context.user}", which does not exist`);
  }
  if (user["auth-provider"] !== undefined) {
    throw new KubeconfigError(
      `user "${context.user}" uses the auth-provider "${user["auth-provider"].name}", which no longer exists; use exec`,
    );
  }
  return { name, cluster: { ...cluster, server }, user, namespace: context.namespace };
}
