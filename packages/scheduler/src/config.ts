/**
 * The scheduler's configuration: upstream's flags, and upstream's KubeSchedulerConfiguration file for what flags lack.
 * Source: kubernetes.io/docs/reference/command-line-tools-reference/kube-scheduler, kube-scheduler-config.v1
 */
import { readFileSync } from "node:fs";
import {
  boolFlag,
  durationFlag,
  type FlagValues,
  intFlag,
  parseGoDurationMs,
  stringFlag,
  UsageError,
} from "@knarr/daemon/flags.ts";
import { parse } from "yaml";
import { QUEUE_DEFAULTS } from "./core/queue.ts";

export const flags = {
  kubeconfig: stringFlag({ help: "kubeconfig with the API server's address and credentials", placeholder: "path" }),
  config: stringFlag({ help: "KubeSchedulerConfiguration file", placeholder: "path" }),
  bindAddress: stringFlag({ help: "address of the HTTPS port", default: "0.0.0.0", placeholder: "ip" }),
  securePort: intFlag({ help: "HTTPS port of health and metrics; 0 serves none", default: 10259, min: 0, max: 65535 }),
  tlsCertFile: stringFlag({ help: "serving certificate; self-signed when absent", placeholder: "path" }),
  tlsPrivateKeyFile: stringFlag({ help: "key of --tls-cert-file", placeholder: "path" }),
  leaderElect: boolFlag({ help: "take part in a leader election before doing anything", default: true }),
  leaderElectLeaseDurationMs: durationFlag({ help: "how long a silent leader keeps its lease", default: "15s" }),
  leaderElectRenewDeadlineMs: durationFlag({ help: "how long the leader tries to renew", default: "10s" }),
  leaderElectRetryPeriodMs: durationFlag({ help: "time between tries to acquire or renew", default: "2s" }),
  leaderElectResourceName: stringFlag({ help: "name of the Lease", default: "kube-scheduler" }),
  leaderElectResourceNamespace: stringFlag({ help: "namespace of the Lease", default: "kube-system" }),
} as const;

/** Upstream flags without a meaning here. */
export const ignoredFlags = [
  "--authentication-kubeconfig",
  "--authorization-kubeconfig",
  "--authentication-skip-lookup",
  "--authorization-always-allow-paths",
  "--client-ca-file",
  "--kube-api-qps",
  "--kube-api-burst",
  "--leader-elect-resource-lock",
  "--requestheader-client-ca-file",
];

export interface Config {
  readonly kubeconfig: string;
  readonly bindAddress: string;
  readonly securePort: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly leaderElection: {
    readonly enabled: boolean;
    readonly leaseDurationMs: number;
    readonly renewDeadlineMs: number;
    readonly retryPeriodMs: number;
    readonly namespace: string;
    readonly name: string;
  };
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** 0 adapts to the number of nodes. */
  readonly percentageOfNodesToScore: number;
  /** Which pods are ours, by spec.schedulerName. */
  readonly schedulerNames: readonly string[];
}

/** The file's fields that are read; others are refused by name, so that nothing is believed configured that is not. */
interface ConfigFile {
  clientConnection?: { kubeconfig?: string };
  leaderElection?: {
    leaderElect?: boolean;
    leaseDuration?: string;
    renewDeadline?: string;
    retryPeriod?: string;
    resourceName?: string;
    resourceNamespace?: string;
    resourceLock?: string;
  };
  podInitialBackoffSeconds?: number;
  podMaxBackoffSeconds?: number;
  percentageOfNodesToScore?: number;
  profiles?: { schedulerName?: string }[];
}
const KNOWN_FIELDS = new Set([
  "apiVersion",
  "kind",
  "clientConnection",
  "leaderElection",
  "podInitialBackoffSeconds",
  "podMaxBackoffSeconds",
  "percentageOfNodesToScore",
  "profiles",
]);

export function loadConfig(values: FlagValues<typeof flags>): Config {
  const file = values.config === "" ? {} : readConfigFile(values.config);
  const election = file.leaderElection ?? {};
  const ms = (text: string | undefined, flag: number) => (text === undefined ? flag : parseGoDurationMs(text));
  if ((values.tlsCertFile === "") !== (values.tlsPrivateKeyFile === "")) {
    throw new UsageError("--tls-cert-file and --tls-private-key-file must be given together");
  }
  const config: Config = {
    kubeconfig: values.kubeconfig === "" ? (file.clientConnection?.kubeconfig ?? "") : values.kubeconfig,
    bindAddress: values.bindAddress,
    securePort: values.securePort,
    tls: values.tlsCertFile === "" ? undefined : { certFile: values.tlsCertFile, keyFile: values.tlsPrivateKeyFile },
    leaderElection: {
      enabled: election.leaderElect ?? values.leaderElect,
      leaseDurationMs: ms(election.leaseDuration, values.leaderElectLeaseDurationMs),
      renewDeadlineMs: ms(election.renewDeadline, values.leaderElectRenewDeadlineMs),
      retryPeriodMs: ms(election.retryPeriod, values.leaderElectRetryPeriodMs),
      namespace: election.resourceNamespace ?? values.leaderElectResourceNamespace,
      name: election.resourceName ?? values.leaderElectResourceName,
    },
    initialBackoffMs: (file.podInitialBackoffSeconds ?? QUEUE_DEFAULTS.initialBackoffMs / 1000) * 1000,
    maxBackoffMs: (file.podMaxBackoffSeconds ?? QUEUE_DEFAULTS.maxBackoffMs / 1000) * 1000,
    percentageOfNodesToScore: file.percentageOfNodesToScore ?? 0,
    schedulerNames: (file.profiles ?? [{}]).map((profile) => profile.schedulerName ?? "default-scheduler"),
  };
  return Object.freeze(config);
}

function readConfigFile(path: string): ConfigFile {
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`--config ${path} can't be read: ${why}`);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new UsageError(`--config ${path}: must be a KubeSchedulerConfiguration object`);
  }
  const fields = content as Record<string, unknown>;
  if (fields.kind !== "KubeSchedulerConfiguration" || fields.apiVersion !== "kubescheduler.config.k8s.io/v1") {
    throw new UsageError(
      `--config ${path}: must be kind KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1, ` +
        `got ${String(fields.kind)} of ${String(fields.apiVersion)}`,
    );
  }
  const problems = Object.keys(fields).filter((name) => !KNOWN_FIELDS.has(name));
  const { profiles } = fields;
  if (profiles !== undefined && !Array.isArray(profiles))
    throw new UsageError(`--config ${path}: profiles must be a list`);
  for (const [index, profile] of (profiles ?? []).entries()) {
    for (const name of Object.keys(profile ?? {})) {
      if (name !== "schedulerName") problems.push(`profiles[${index}].${name}`);
    }
  }
  if (problems.length > 0) throw new UsageError(`--config ${path}: not supported: ${problems.join(", ")}`);
  return fields as ConfigFile;
}
