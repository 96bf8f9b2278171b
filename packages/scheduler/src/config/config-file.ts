/**
 * The KubeSchedulerConfiguration file: read, checked as a whole, with defaults. Every field is checked and read, or refused.
 * Source: kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1, pkg/scheduler/apis/config/validation
 */
import { readFileSync } from "node:fs";
import { parseGoDurationMs, UsageError } from "@knarr/daemon/flags.ts";
import { parse } from "yaml";
import { PLUGINS } from "../plugins/index.ts";
import {
  anything,
  between,
  boolean,
  FieldErrors,
  integer,
  isRecord,
  list,
  number,
  object,
  string,
} from "./field-errors.ts";
import { pluginArgs } from "./plugin-args.ts";
import { EXTENSION_POINTS, type PluginSet, type ProfileConfig } from "./profile.ts";

export interface ConfigFile {
  readonly kubeconfig?: string | undefined;
  readonly leaderElection?: LeaderElectionFile | undefined;
  readonly parallelism: number;
  /** Requests a second to the API server; undefined without a limit. */
  readonly rateLimit: { readonly qps: number; readonly burst: number } | undefined;
  readonly podInitialBackoffSeconds: number;
  readonly podMaxBackoffSeconds: number;
  readonly percentageOfNodesToScore: number;
  readonly profiles: readonly ProfileConfig[];
}
export interface LeaderElectionFile {
  readonly leaderElect?: boolean;
  readonly leaseDuration?: string;
  readonly renewDeadline?: string;
  readonly retryPeriod?: string;
  readonly resourceName?: string;
  readonly resourceNamespace?: string;
}

const API_VERSION = "kubescheduler.config.k8s.io/v1";
const pluginSet = object({
  enabled: list(object({ name: string, weight: integer })),
  disabled: list(object({ name: string, weight: integer })),
});
const pluginSets = Object.fromEntries([...EXTENSION_POINTS, "multiPoint"].map((point) => [point, pluginSet]));
const profileShape = object({
  schedulerName: string,
  percentageOfNodesToScore: between(0, 100),
  plugins: object(pluginSets),
  pluginConfig: list(object({ name: string, args: anything })),
});
const fileShape = object({
  apiVersion: string,
  kind: string,
  parallelism: integer,
  leaderElection: object({
    leaderElect: boolean,
    leaseDuration: string,
    renewDeadline: string,
    retryPeriod: string,
    resourceLock: string,
    resourceName: string,
    resourceNamespace: string,
  }),
  clientConnection: object({
    kubeconfig: string,
    acceptContentTypes: string,
    contentType: string,
    qps: number,
    burst: integer,
  }),
  enableProfiling: boolean,
  enableContentionProfiling: boolean,
  percentageOfNodesToScore: between(0, 100),
  podInitialBackoffSeconds: integer,
  podMaxBackoffSeconds: integer,
  profiles: list(profileShape),
  delayCacheUntilActive: boolean,
});

export function defaultConfigFile(): ConfigFile {
  return checkConfigFile({ apiVersion: API_VERSION, kind: "KubeSchedulerConfiguration" }, "");
}

export function readConfigFile(path: string): ConfigFile {
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`--config ${path} can't be read: ${why}`);
  }
  return checkConfigFile(content, path);
}

/** Throws a UsageError that names every field that is wrong. `file` is only named. */
export function checkConfigFile(content: unknown, file: string): ConfigFile {
  if (!isRecord(content)) throw new UsageError(`--config ${file}: must be a KubeSchedulerConfiguration object`);
  const { kind, apiVersion } = content;
  if (kind !== "KubeSchedulerConfiguration" || apiVersion !== API_VERSION) {
    const version = JSON.stringify(apiVersion ?? "");
    throw new UsageError(
      `--config ${file}: no kind ${JSON.stringify(kind ?? "")} is registered for version ${version}`,
    );
  }
  const errors = new FieldErrors();
  fileShape(content, "", errors);
  errors.throwFor(file);
  const fields = content as RawFile;
  const given = fields.profiles ?? [{}];
  const profiles = given.map((profile, i) => checkProfile(profile, `profiles[${i}]`, errors, given.length > 1));
  const checked: ConfigFile = {
    kubeconfig: fields.clientConnection?.kubeconfig,
    leaderElection: fields.leaderElection,
    parallelism: fields.parallelism ?? 16,
    rateLimit: rateLimitOf(fields.clientConnection),
    podInitialBackoffSeconds: fields.podInitialBackoffSeconds ?? 1,
    podMaxBackoffSeconds: fields.podMaxBackoffSeconds ?? 10,
    percentageOfNodesToScore: fields.percentageOfNodesToScore ?? 0,
    profiles,
  };
  checkTogether(checked, errors);
  errors.throwFor(file);
  return checked;
}

interface RawFile {
  clientConnection?: { kubeconfig?: string; qps?: number; burst?: number };
  leaderElection?: LeaderElectionFile;
  parallelism?: number;
  podInitialBackoffSeconds?: number;
  podMaxBackoffSeconds?: number;
  percentageOfNodesToScore?: number;
  profiles?: RawProfile[];
}
interface RawProfile {
  schedulerName?: string;
  percentageOfNodesToScore?: number;
  plugins?: Record<string, PluginSet>;
  pluginConfig?: { name?: string; args?: unknown }[];
}

/**
 * Below zero means no limit, as upstream. Differs from upstream: so does zero, where 50 with bursts of 100 would be the default,
 * because the API server's priority and fairness keeps order among its clients.
 */
function rateLimitOf(connection: RawFile["clientConnection"]): ConfigFile["rateLimit"] {
  const { qps = 0, burst = 0 } = connection ?? {};
  return qps > 0 ? { qps, burst: burst > 0 ? burst : 100 } : undefined;
}

function checkProfile(profile: RawProfile, path: string, errors: FieldErrors, isOneOfMany: boolean): ProfileConfig {
  const known = new Set(PLUGINS.map(({ name }) => name));
  for (const [point, set] of Object.entries(profile.plugins ?? {})) {
    for (const [i, { name }] of (set?.enabled ?? []).entries()) {
      if (!known.has(name)) errors.notFound(`${path}.plugins.${point}.enabled[${i}]`, name);
    }
  }
  const args = new Map<string, Record<string, unknown>>();
  for (const [i, { name = "", args: given }] of (profile.pluginConfig ?? []).entries()) {
    const at = `${path}.pluginConfig[${i}]`;
    if (name === "") errors.required(`${at}.name`);
    else if (args.has(name)) errors.duplicate(at, name);
    else if (!known.has(name)) errors.notFound(at, name);
    else args.set(name, pluginArgs(name, given, `${at}.args`, errors));
  }
  for (const name of known) if (!args.has(name)) args.set(name, pluginArgs(name, undefined, path, errors));
  if (isOneOfMany && (profile.schedulerName ?? "") === "") errors.required(`${path}.schedulerName`);
  return {
    schedulerName: profile.schedulerName ?? "default-scheduler",
    percentageOfNodesToScore: profile.percentageOfNodesToScore,
    plugins: profile.plugins ?? {},
    args,
  };
}

function checkTogether(file: ConfigFile, errors: FieldErrors): void {
  if (file.parallelism <= 0) {
    errors.invalid("parallelism", file.parallelism, "should be an integer value greater than zero");
  }
  if (file.podInitialBackoffSeconds <= 0) {
    errors.invalid("podInitialBackoffSeconds", file.podInitialBackoffSeconds, "must be greater than 0");
  }
  if (file.podMaxBackoffSeconds < file.podInitialBackoffSeconds) {
    const why = "must be greater than or equal to PodInitialBackoffSeconds";
    errors.invalid("podMaxBackoffSeconds", file.podMaxBackoffSeconds, why);
  }
  if (file.profiles.length === 0) errors.required("profiles");
  const seen = new Set<string>();
  for (const [i, { schedulerName }] of file.profiles.entries()) {
    if (seen.has(schedulerName)) errors.duplicate(`profiles[${i}].schedulerName`, schedulerName);
    seen.add(schedulerName);
  }
  checkLeaderElection(file.leaderElection ?? {}, errors);
}

function checkLeaderElection(election: LeaderElectionFile, errors: FieldErrors): void {
  const ms: Record<string, number> = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2000 };
  for (const name of ["leaseDuration", "renewDeadline", "retryPeriod"] as const) {
    const text = election[name];
    if (text === undefined) continue;
    try {
      ms[name] = parseGoDurationMs(text);
    } catch {
      // The parser's complaint names no field; this one does.
      errors.invalid(`leaderElection.${name}`, text, "must be a duration such as 15s");
    }
    if ((ms[name] ?? 0) <= 0) errors.invalid(`leaderElection.${name}`, text, "must be greater than zero");
  }
  const { leaseDuration = 0, renewDeadline = 0 } = ms;
  if (leaseDuration <= renewDeadline) {
    const text = election.renewDeadline ?? "10s";
    errors.invalid("leaderElection.leaseDuration", text, "LeaseDuration must be greater than RenewDeadline");
  }
}
