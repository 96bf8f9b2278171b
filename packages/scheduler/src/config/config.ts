/**
 * The scheduler's configuration: upstream's flags, and upstream's KubeSchedulerConfiguration file for what flags lack.
 * Source: kubernetes.io/docs/reference/command-line-tools-reference/kube-scheduler, kube-scheduler-config.v1
 */
import {
  boolFlag,
  durationFlag,
  type FlagValues,
  intFlag,
  listFlag,
  parseGoDurationMs,
  stringFlag,
  UsageError,
} from "@knarr/daemon/flags.ts";
import { defaultConfigFile, readConfigFile } from "./config-file.ts";
import type { ProfileConfig } from "./profile.ts";

export const flags = {
  kubeconfig: stringFlag({ help: "kubeconfig with the API server's address and credentials", placeholder: "path" }),
  config: stringFlag({ help: "KubeSchedulerConfiguration file", placeholder: "path" }),
  bindAddress: stringFlag({ help: "address of the HTTPS port", default: "0.0.0.0", placeholder: "ip" }),
  securePort: intFlag({ help: "HTTPS port of health and metrics; 0 serves none", default: 10259, min: 0, max: 65535 }),
  tlsCertFile: stringFlag({ help: "serving certificate; self-signed when absent", placeholder: "path" }),
  tlsPrivateKeyFile: stringFlag({ help: "key of --tls-cert-file", placeholder: "path" }),
  clientCaFile: stringFlag({ help: "CA of client certificates that the HTTPS port takes", placeholder: "path" }),
  authorizationAlwaysAllowPaths: listFlag({
    help: "paths that anyone may read, with everything below them",
    default: ["/healthz", "/readyz", "/livez"],
    placeholder: "paths",
  }),
  leaderElect: boolFlag({ help: "take part in a leader election before doing anything", default: true }),
  leaderElectLeaseDurationMs: durationFlag({ help: "how long a silent leader keeps its lease", default: "15s" }),
  leaderElectRenewDeadlineMs: durationFlag({ help: "how long the leader tries to renew", default: "10s" }),
  leaderElectRetryPeriodMs: durationFlag({ help: "time between tries to acquire or renew", default: "2s" }),
  leaderElectResourceName: stringFlag({ help: "name of the Lease", default: "kube-scheduler" }),
  leaderElectResourceNamespace: stringFlag({ help: "namespace of the Lease", default: "kube-system" }),
  podMaxInUnschedulablePodsDurationMs: durationFlag({
    help: "how long a pod waits for an event that helps it before it is tried anew in any case",
    default: "5m",
  }),
} as const;

/** Upstream flags without a meaning here. */
export const ignoredFlags = [
  "--authentication-kubeconfig",
  "--authorization-kubeconfig",
  "--authentication-skip-lookup",
  "--authentication-tolerate-lookup-failure",
  "--kube-api-qps",
  "--kube-api-burst",
  "--kube-api-content-type",
  "--leader-elect-resource-lock",
  "--requestheader-client-ca-file",
];

export interface Config {
  readonly kubeconfig: string;
  readonly bindAddress: string;
  readonly securePort: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly clientCaFile: string;
  readonly authorizationAlwaysAllowPaths: readonly string[];
  readonly leaderElection: {
    readonly enabled: boolean;
    readonly leaseDurationMs: number;
    readonly renewDeadlineMs: number;
    readonly retryPeriodMs: number;
    readonly namespace: string;
    readonly name: string;
  };
  /** Requests a second to the API server; undefined without a limit. */
  readonly rateLimit: { readonly qps: number; readonly burst: number } | undefined;
  /** Checked, and shown to people who ask; cycles run one after the other on one thread. */
  readonly parallelism: number;
  readonly maxUnschedulableMs: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  /** 0 adapts to the number of nodes. */
  readonly percentageOfNodesToScore: number;
  readonly profiles: readonly ProfileConfig[];
}

/** Where both say something, the file wins, as upstream: with --config the leader election's flags count no more. */
export function loadConfig(values: FlagValues<typeof flags>): Config {
  const file = values.config === "" ? defaultConfigFile() : readConfigFile(values.config);
  const election = file.leaderElection ?? {};
  const ms = (text: string | undefined, flag: number) => (text === undefined ? flag : parseGoDurationMs(text));
  if ((values.tlsCertFile === "") !== (values.tlsPrivateKeyFile === "")) {
    throw new UsageError("--tls-cert-file and --tls-private-key-file must be given together");
  }
  return Object.freeze({
    kubeconfig: values.kubeconfig === "" ? (file.kubeconfig ?? "") : values.kubeconfig,
    bindAddress: values.bindAddress,
    securePort: values.securePort,
    tls: values.tlsCertFile === "" ? undefined : { certFile: values.tlsCertFile, keyFile: values.tlsPrivateKeyFile },
    clientCaFile: values.clientCaFile,
    authorizationAlwaysAllowPaths: values.authorizationAlwaysAllowPaths,
    leaderElection: {
      enabled: election.leaderElect ?? values.leaderElect,
      leaseDurationMs: ms(election.leaseDuration, values.leaderElectLeaseDurationMs),
      renewDeadlineMs: ms(election.renewDeadline, values.leaderElectRenewDeadlineMs),
      retryPeriodMs: ms(election.retryPeriod, values.leaderElectRetryPeriodMs),
      namespace: election.resourceNamespace ?? values.leaderElectResourceNamespace,
      name: election.resourceName ?? values.leaderElectResourceName,
    },
    rateLimit: file.rateLimit,
    parallelism: file.parallelism,
    maxUnschedulableMs: values.podMaxInUnschedulablePodsDurationMs,
    initialBackoffMs: file.podInitialBackoffSeconds * 1000,
    maxBackoffMs: file.podMaxBackoffSeconds * 1000,
    percentageOfNodesToScore: file.percentageOfNodesToScore,
    profiles: file.profiles,
  });
}
