/**
 * From kubeconfig files to a RestConfig whose credentials follow their files: certificates, keys, CA bundles and tokens
 * named by path are read again when they change; exec plugins are run again when theirs expire.
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { type Clock, systemClock } from "@knarr/daemon/clock.ts";
import { ExecCredentialSource } from "./exec-credential.ts";
import { FileSource } from "./file-source.ts";
import {
  type Kubeconfig,
  type KubeconfigCluster,
  KubeconfigError,
  type KubeconfigUser,
  mergeKubeconfigs,
  parseKubeconfig,
  selectContext,
} from "./kubeconfig-file.ts";
import type { RestConfig, TlsCredentials } from "./rest-config.ts";

export interface LoadKubeconfigOptions {
  /** Exactly this file; otherwise $KUBECONFIG (a list), otherwise ~/.kube/config. */
  readonly path?: string | undefined;
  readonly context?: string | undefined;
  /** Entries to use instead of those that the context names. */
  readonly cluster?: string | undefined;
  readonly user?: string | undefined;
  /** Where KUBECONFIG and HOME are looked up, and what exec plugins run with; the process's when absent. */
  readonly env?: NodeJS.ProcessEnv;
  readonly clock?: Clock | undefined;
}

/** Throws KubeconfigError for anything missing or malformed; a file of $KUBECONFIG's list may be absent, `path` may not. */
export function loadKubeconfig(options: LoadKubeconfigOptions = {}): RestConfig {
  const env = options.env ?? process.env;
  const { cluster, user, namespace } = selectContext(readKubeconfig({ ...options, env }), options.context, options);
  const clock = options.clock ?? systemClock;
  const auth = authOf(user, cluster, env, clock);
  const parts: TlsParts = {
    ca: pemPart(cluster["certificate-authority-data"], cluster["certificate-authority"], clock),
    cert: pemPart(user["client-certificate-data"], user["client-certificate"], clock),
    key: pemPart(user["client-key-data"], user["client-key"], clock),
    exec: auth.exec,
  };
  return {
    server: cluster.server,
    namespace,
    tlsServerName: cluster["tls-server-name"],
    insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"],
    token: auth.token,
    refreshToken: auth.refreshToken,
    username: user.username,
    password: user.password,
    impersonate: user.as === undefined ? undefined : { user: user.as, groups: user["as-groups"], uid: user["as-uid"] },
    credentials: credentialsOf(parts),
  };
}

/** The merged files, before a context is picked: what `knarr config` shows. */
export function readKubeconfig(options: LoadKubeconfigOptions = {}): Kubeconfig {
  const env = options.env ?? process.env;
  if (options.path !== undefined && options.path !== "") return readFile(options.path, true) as Kubeconfig;
  const list = (env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  const paths = list.length > 0 ? list : [join(env.HOME ?? homedir(), ".kube", "config")];
  const files = paths.map((path) => readFile(path, false)).filter((file) => file !== undefined);
  if (files.length === 0) throw new KubeconfigError(`no kubeconfig found at ${paths.join(", ")}`);
  return mergeKubeconfigs(files);
}

function readFile(path: string, required: boolean): Kubeconfig | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (!required && (cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new KubeconfigError(`kubeconfig ${path} can't be read: ${(cause as Error).message}`, { cause });
  }
  return parseKubeconfig(text, path);
}

/** PEM data, or where to read it from. */
type PemPart = Buffer | FileSource | undefined;

interface TlsParts {
  readonly ca: PemPart;
  readonly cert: PemPart;
  readonly key: PemPart;
  readonly exec: ExecCredentialSource | undefined;
}

function pemPart(data: string | undefined, path: string | undefined, clock: Clock): PemPart {
  if (data !== undefined && data !== "") return Buffer.from(data, "base64");
  return path === undefined || path === "" ? undefined : new FileSource(path, clock);
}

function credentialsOf(parts: TlsParts): () => Promise<TlsCredentials> {
  const read = (part: PemPart) => (part instanceof FileSource ? part.read() : part);
  let current: TlsCredentials = {};
  let first = true;
  return async () => {
    const status = await parts.exec?.get();
    const [ca, cert, key] = await Promise.all([
      read(parts.ca),
      status?.clientCertificateData ?? read(parts.cert),
      status?.clientKeyData ?? read(parts.key),
    ]);
    if (first || ca !== current.ca || cert !== current.cert || key !== current.key) current = { ca, cert, key };
    first = false;
    return current;
  };
}

interface Auth {
  readonly token?: RestConfig["token"];
  readonly refreshToken?: (() => void) | undefined;
  readonly exec?: ExecCredentialSource;
}

function authOf(
  user: KubeconfigUser,
  cluster: KubeconfigCluster & { server: string },
  env: NodeJS.ProcessEnv,
  clock: Clock,
): Auth {
  // A tokenFile wins over a token. Source: client-go clientcmd/client_config.go
  if (user.tokenFile !== undefined && user.tokenFile !== "") {
    const source = new FileSource(user.tokenFile, clock);
    return {
      token: async () => (await source.read()).toString("utf8").trim(),
      refreshToken: () => source.invalidate(),
    };
  }
  if (user.token !== undefined && user.token !== "") return { token: user.token };
  if (user.exec === undefined) return {};
  const exec = new ExecCredentialSource({
    config: user.exec,
    cluster: {
      server: cluster.server,
      "certificate-authority-data": cluster["certificate-authority-data"],
      "tls-server-name": cluster["tls-server-name"],
      "insecure-skip-tls-verify": cluster["insecure-skip-tls-verify"],
    },
    env,
    clock,
  });
  return { token: async () => (await exec.get()).token ?? "", refreshToken: () => exec.invalidate(), exec };
}
