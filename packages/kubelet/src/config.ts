/**
 * The kubelet's configuration: upstream's flags, and upstream's KubeletConfiguration file below them. A flag that is
 * given wins over the file, the file over the defaults. Frozen once loaded.
 */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import {
  boolFlag,
  durationFlag,
  type FlagTable,
  type FlagValues,
  givenFlags,
  intFlag,
  listFlag,
  mapFlag,
  parseGoDurationMs,
  stringFlag,
  UsageError,
} from "@knarr/daemon/flags.ts";
import { parse as parseYaml } from "yaml";
import { parseCpuSet } from "./core/cpu-set.ts";
import { checkUnsafeSysctls } from "./core/feature-admission.ts";
import { labelComplaint, parseTaint } from "./core/node-flags.ts";
import type { SwapBehavior } from "./core/swap.ts";
import { UNIT } from "./core/user-namespace.ts";
import { DEFAULT_HARD, parseThresholds, type Threshold } from "./eviction/thresholds.ts";
import { VERIFICATION_POLICIES, type VerificationPolicy } from "./images/pulled-records.ts";
import { type PriorityPeriod, shutdownPeriods } from "./shutdown/plan-shutdown.ts";

const evictionFlags = {
  evictionHard: mapFlag({
    help: "what is free at least; below, pods end at once",
    separator: "<",
    default: DEFAULT_HARD,
  }),
  evictionSoft: mapFlag({ help: "what is free at least; below for its grace period, pods end", separator: "<" }),
  evictionSoftGracePeriod: mapFlag({ help: "how long a soft threshold is met before it acts" }),
  evictionMinimumReclaim: mapFlag({ help: "how much more than the threshold is to be free before eviction ends" }),
  evictionPressureTransitionPeriodMs: durationFlag({
    help: "how long a pressure condition stays after the pressure ended",
    default: "5m",
  }),
  evictionMaxPodGracePeriod: intFlag({
    help: "the most that a soft eviction gives a pod to end",
    default: 0,
    unit: "seconds",
  }),
  mergeDefaultEvictionSettings: boolFlag({
    help: "thresholds that are not given keep their defaults",
    default: false,
  }),
} as const satisfies FlagTable;

export const flags = {
  config: stringFlag({ help: "KubeletConfiguration file, YAML or JSON", placeholder: "path" }),
  kubeconfig: stringFlag({ help: "how to reach the API server; without it only static pods run", placeholder: "path" }),
  hostnameOverride: stringFlag({ help: "the node's name instead of the host name" }),
  nodeIp: stringFlag({ help: "the node's address; found from the default route when absent", name: "node-ip" }),
  nodeLabels: mapFlag({ help: "labels that the node registers with" }),
  registerWithTaints: listFlag({ help: "taints that the node registers with, as key=value:effect" }),
  registerSchedulable: boolFlag({ help: "register the node so that pods may be scheduled to it", default: true }),
  cloudProvider: stringFlag({
    help: "external: a cloud controller manager completes the node",
    oneOf: ["", "external"],
  }),
  providerId: stringFlag({ help: "what the cloud calls this machine", name: "provider-id" }),
  nodeStatusMaxImages: intFlag({ help: "most images in the node's status, -1 for all", default: 50, min: -1 }),
  registerNode: boolFlag({ help: "register the node with the API server", default: true }),
  containerRuntimeEndpoint: stringFlag({
    help: "the container runtime's socket: unix:///path for CRI, docker:///path for Docker Engine",
    default: "unix:///run/containerd/containerd.sock",
    placeholder: "url",
  }),
  // Upstream's flags of the days when its kubelet spoke Docker; runtimes with a CRI know these themselves.
  cniConfDir: stringFlag({ help: "folder of CNI networks (Docker)", default: "/etc/cni/net.d", placeholder: "path" }),
  cniBinDir: listFlag({ help: "folders of CNI plugins (Docker)", default: ["/opt/cni/bin", "/usr/lib/cni"] }),
  rootDir: stringFlag({ help: "folder of pods' volumes and files", default: "/var/lib/kubelet", placeholder: "path" }),
  podLogDir: stringFlag({ help: "folder of container logs", default: "/var/log/pods", placeholder: "path" }),
  podManifestPath: stringFlag({ help: "folder of static pods' manifests", placeholder: "path" }),
  fileCheckFrequencyMs: durationFlag({ help: "how often that folder is read", default: "20s" }),
  address: stringFlag({ help: "address that the kubelet's server listens on", default: "0.0.0.0" }),
  port: intFlag({ help: "port of the kubelet's server", default: 10250, min: 0, max: 65535 }),
  healthzBindAddress: stringFlag({ help: "address of the health endpoint", default: "127.0.0.1" }),
  healthzPort: intFlag({ help: "port of the health endpoint, 0 for none", default: 10248, min: 0, max: 65535 }),
  tlsCertFile: stringFlag({ help: "serving certificate; self-signed when absent", placeholder: "path" }),
  tlsPrivateKeyFile: stringFlag({ help: "its key", placeholder: "path" }),
  bootstrapKubeconfig: stringFlag({
    help: "how to ask for a first client certificate when --kubeconfig is not there yet",
    placeholder: "path",
  }),
  certDir: stringFlag({
    help: "folder of the kubelet's own certificates; <root-dir>/pki when absent",
    placeholder: "path",
  }),
  rotateCertificates: boolFlag({ help: "renew the client certificate before it expires", default: false }),
  rotateServerCertificates: boolFlag({
    help: "get the serving certificate from the cluster and renew it, when no --tls-cert-file is given",
    default: false,
  }),
  clientCaFile: stringFlag({ help: "authority of client certificates", placeholder: "path" }),
  anonymousAuth: boolFlag({ help: "let unauthenticated requests pass to authorisation", default: false }),
  authorizationMode: stringFlag({ help: "who may ask", default: "Webhook", oneOf: ["Webhook", "AlwaysAllow"] }),
  enableDebuggingHandlers: boolFlag({ help: "serve logs, exec, attach, port-forward and run", default: true }),
  enableSystemLogHandler: boolFlag({ help: "serve the node's log files at /logs/", default: true }),
  enableSystemLogQuery: boolFlag({ help: "serve services' logs at /logs/?query=NAME", default: false }),
  clusterDns: listFlag({ help: "addresses of the cluster's DNS", name: "cluster-dns" }),
  clusterDomain: stringFlag({ help: "the cluster's domain" }),
  resolvConf: stringFlag({
    help: "the node's resolver configuration",
    default: "/etc/resolv.conf",
    placeholder: "path",
  }),
  cgroupRoot: stringFlag({ help: "cgroup that all pods are below", default: "/" }),
  cgroupDriver: stringFlag({ help: "how cgroups are made", default: "cgroupfs", oneOf: ["cgroupfs", "systemd"] }),
  cgroupsPerQos: boolFlag({ help: "keep a cgroup tree by quality of service", name: "cgroups-per-qos", default: true }),
  maxPods: intFlag({ help: "most pods on the node", default: 110, min: 0 }),
  podPidsLimit: intFlag({ help: "most processes in a pod, -1 for no limit", default: -1, min: -1 }),
  serializeImagePulls: boolFlag({ help: "pull one image at a time", default: true }),
  maxParallelImagePulls: intFlag({ help: "most pulls at once when not serialised", default: 5, min: 1 }),
  containerLogMaxSize: stringFlag({ help: "size at which a log is rotated, a quantity", default: "10Mi" }),
  containerLogMaxFiles: intFlag({ help: "log files kept of a container", default: 5, min: 2 }),
  nodeStatusUpdateFrequencyMs: durationFlag({ help: "how often the node's status is computed", default: "10s" }),
  nodeStatusReportFrequencyMs: durationFlag({ help: "how often it is written if nothing changed", default: "5m" }),
  nodeLeaseDurationSeconds: intFlag({ help: "how long the node's lease lasts", default: 40, min: 1, unit: "seconds" }),
  syncFrequencyMs: durationFlag({ help: "how often a pod that needs nothing is looked at", default: "1m" }),
  runtimeRequestTimeoutMs: durationFlag({ help: "deadline of calls to the runtime", default: "2m" }),
  systemReserved: mapFlag({ help: "resources kept from pods for the system" }),
  allowedUnsafeSysctls: listFlag({ help: "sysctls beyond the safe ones that pods may set; a * ends a prefix" }),
  seccompDefault: boolFlag({ help: "RuntimeDefault is the profile of containers that name none", default: false }),
  kubeReserved: mapFlag({ help: "resources kept from pods for the node's daemons" }),
  systemReservedCgroup: stringFlag({ help: "cgroup of the system's daemons, absolute", placeholder: "path" }),
  kubeReservedCgroup: stringFlag({ help: "cgroup of the node's daemons, absolute", placeholder: "path" }),
  cpuManagerPolicy: stringFlag({
    help: "static: containers of Guaranteed pods that ask for whole processors have them alone",
    default: "none",
    oneOf: ["none", "static"],
  }),
  cpuManagerPolicyOptions: mapFlag({ help: "of the static policy: full-pcpus-only, strict-cpu-reservation" }),
  cpuManagerReconcilePeriodMs: durationFlag({ help: "how often containers' processors are set right", default: "10s" }),
  reservedCpus: stringFlag({
    help: "processors kept from pods that have theirs alone, as 0-1,4; counts as reserved cpu",
  }),
  enforceNodeAllocatable: listFlag({
    help: "whose reservations are enforced: pods, system-reserved, kube-reserved; or none",
    default: ["pods"],
  }),
  ...evictionFlags,
  imageGcHighThreshold: intFlag({
    help: "share of the images' disk in use at which unused images are removed",
    default: 85,
    min: 0,
    max: 100,
    unit: "percent",
    name: "image-gc-high-threshold",
  }),
  imageGcLowThreshold: intFlag({
    help: "share of the images' disk in use down to which they are removed",
    default: 80,
    min: 0,
    max: 100,
    unit: "percent",
    name: "image-gc-low-threshold",
  }),
  minimumImageTtlDurationMs: durationFlag({ help: "an unused image is kept at least so long", default: "2m" }),
  maximumImageAgeMs: durationFlag({
    help: "an image unused for longer is removed, 0 for never",
    default: "0s",
    name: "maximum-image-ttl-duration",
  }),
  podInfraContainerImage: stringFlag({ help: "the sandboxes' image: image collection spares it, Docker runs it" }),
} as const satisfies FlagTable;

/** In the file, taints are objects. */
function taintText(taint: unknown): unknown {
  if (typeof taint !== "object" || taint === null) return taint;
  const { key = "", value = "", effect = "" } = taint as Record<string, string>;
  return `${key}${value === "" ? "" : `=${value}`}:${effect}`;
}

/** Fields of the file that have no flag. Source: k8s.io/kubelet/config/v1beta1 */
export interface FileOnly {
  /** The lowest priority first; empty: pods are not ended before the machine goes down. */
  readonly shutdownPeriods: readonly PriorityPeriod[];
  /** crashLoopBackOff.maxContainerRestartPeriod: the longest wait before a container that keeps ending runs again. */
  readonly maxContainerRestartPeriodMs: number;
  /** userNamespaces.idsPerPod: how many user and group ids a pod with users of its own has. */
  readonly idsPerPod: number;
  /** memorySwap.swapBehavior: whether pods may use the node's swap. */
  readonly swapBehavior: SwapBehavior;
  /** Which images that are on the node already a pod gets only if its credentials would have got them. */
  readonly imagePullVerification: VerificationPolicy;
  /** Repositories that NeverVerifyAllowlistedImages leaves alone. */
  readonly preloadedImages: readonly string[];
}

const MAX_RESTART_PERIOD_MS = 300_000;

function fileOnly(file: FileValues): FileOnly {
  const durationOf = (field: string, byDefault = "0s") => {
    try {
      return parseGoDurationMs(String(lookUp(file, field) ?? byDefault));
    } catch (error) {
      throw new UsageError(`config file field ${field}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const totalMs = durationOf("shutdownGracePeriod");
  const criticalMs = durationOf("shutdownGracePeriodCriticalPods");
  const byPriority = (file.shutdownGracePeriodByPodPriority ?? []) as PriorityPeriod[];
  if (criticalMs > totalMs) {
    throw new UsageError("config file field shutdownGracePeriodCriticalPods: must be <= shutdownGracePeriod");
  }
  if (byPriority.length > 0 && totalMs > 0) {
    throw new UsageError(
      "config file fields shutdownGracePeriod and shutdownGracePeriodByPodPriority exclude each other",
    );
  }
  const restartField = "crashLoopBackOff.maxContainerRestartPeriod";
  const maxContainerRestartPeriodMs = durationOf(restartField, "300s");
  if (maxContainerRestartPeriodMs < 1000 || maxContainerRestartPeriodMs > MAX_RESTART_PERIOD_MS) {
    throw new UsageError(`config file field ${restartField}: must be between 1s and 300s`);
  }
  const idsPerPod = Number(lookUp(file, "userNamespaces.idsPerPod") ?? UNIT);
  if (!Number.isSafeInteger(idsPerPod) || idsPerPod < UNIT || idsPerPod % UNIT !== 0 || idsPerPod >= 2 ** 32) {
    throw new UsageError(`config file field userNamespaces.idsPerPod: must be a multiple of ${UNIT} below 2^32`);
  }
  const swapBehavior = String(lookUp(file, "memorySwap.swapBehavior") ?? "") || "NoSwap";
  if (swapBehavior !== "NoSwap" && swapBehavior !== "LimitedSwap") {
    throw new UsageError('config file field memorySwap.swapBehavior: must be one of "", "LimitedSwap" or "NoSwap"');
  }
  const imagePullVerification = String(
    lookUp(file, "imagePullCredentialsVerificationPolicy") ?? "NeverVerifyPreloadedImages",
  ) as VerificationPolicy;
  if (!VERIFICATION_POLICIES.includes(imagePullVerification)) {
    const known = VERIFICATION_POLICIES.join(", ");
    throw new UsageError(`config file field imagePullCredentialsVerificationPolicy: must be one of ${known}`);
  }
  const preloadedImages = ((lookUp(file, "preloadedImagesVerificationAllowlist") ?? []) as unknown[]).map(String);
  if (preloadedImages.length > 0 && imagePullVerification !== "NeverVerifyAllowlistedImages") {
    throw new UsageError(
      "config file field preloadedImagesVerificationAllowlist: only with the policy NeverVerifyAllowlistedImages",
    );
  }
  return {
    imagePullVerification,
    preloadedImages,
    shutdownPeriods: shutdownPeriods(totalMs, criticalMs, byPriority),
    maxContainerRestartPeriodMs,
    idsPerPod,
    swapBehavior,
  };
}

/** Upstream's flags that mean nothing here. */
export const ignoredFlags = [
  "--fail-swap-on",
  "--read-only-port",
  "--authentication-token-webhook",
  "--runtime-cgroups",
  "--kubelet-cgroups",
];

export type Config = FlagValues<typeof flags> & FileOnly & { readonly nodeName: string };

type FileValues = Readonly<Record<string, unknown>>;

/** Where each field of the file goes; a dot steps into an object. */
export const FILE_FIELDS: Readonly<Record<string, keyof typeof flags>> = {
  staticPodPath: "podManifestPath",
  fileCheckFrequency: "fileCheckFrequencyMs",
  address: "address",
  port: "port",
  healthzBindAddress: "healthzBindAddress",
  healthzPort: "healthzPort",
  tlsCertFile: "tlsCertFile",
  tlsPrivateKeyFile: "tlsPrivateKeyFile",
  rotateCertificates: "rotateCertificates",
  serverTLSBootstrap: "rotateServerCertificates",
  "authentication.x509.clientCAFile": "clientCaFile",
  "authentication.anonymous.enabled": "anonymousAuth",
  "authorization.mode": "authorizationMode",
  enableDebuggingHandlers: "enableDebuggingHandlers",
  enableSystemLogHandler: "enableSystemLogHandler",
  enableSystemLogQuery: "enableSystemLogQuery",
  clusterDNS: "clusterDns",
  clusterDomain: "clusterDomain",
  resolvConf: "resolvConf",
  cgroupRoot: "cgroupRoot",
  cgroupDriver: "cgroupDriver",
  cgroupsPerQOS: "cgroupsPerQos",
  maxPods: "maxPods",
  podPidsLimit: "podPidsLimit",
  serializeImagePulls: "serializeImagePulls",
  maxParallelImagePulls: "maxParallelImagePulls",
  containerLogMaxSize: "containerLogMaxSize",
  containerLogMaxFiles: "containerLogMaxFiles",
  nodeStatusUpdateFrequency: "nodeStatusUpdateFrequencyMs",
  nodeStatusReportFrequency: "nodeStatusReportFrequencyMs",
  nodeLeaseDurationSeconds: "nodeLeaseDurationSeconds",
  syncFrequency: "syncFrequencyMs",
  runtimeRequestTimeout: "runtimeRequestTimeoutMs",
  systemReserved: "systemReserved",
  kubeReserved: "kubeReserved",
  systemReservedCgroup: "systemReservedCgroup",
  kubeReservedCgroup: "kubeReservedCgroup",
  cpuManagerPolicy: "cpuManagerPolicy",
  cpuManagerPolicyOptions: "cpuManagerPolicyOptions",
  cpuManagerReconcilePeriod: "cpuManagerReconcilePeriodMs",
  reservedSystemCPUs: "reservedCpus",
  enforceNodeAllocatable: "enforceNodeAllocatable",
  evictionHard: "evictionHard",
  evictionSoft: "evictionSoft",
  evictionSoftGracePeriod: "evictionSoftGracePeriod",
  evictionMinimumReclaim: "evictionMinimumReclaim",
  evictionPressureTransitionPeriod: "evictionPressureTransitionPeriodMs",
  evictionMaxPodGracePeriod: "evictionMaxPodGracePeriod",
  mergeDefaultEvictionSettings: "mergeDefaultEvictionSettings",
  imageGCHighThresholdPercent: "imageGcHighThreshold",
  imageGCLowThresholdPercent: "imageGcLowThreshold",
  imageMinimumGCAge: "minimumImageTtlDurationMs",
  imageMaximumGCAge: "maximumImageAgeMs",
  podLogsDir: "podLogDir",
  containerRuntimeEndpoint: "containerRuntimeEndpoint",
  registerNode: "registerNode",
  nodeStatusMaxImages: "nodeStatusMaxImages",
  providerID: "providerId",
  registerWithTaints: "registerWithTaints",
  allowedUnsafeSysctls: "allowedUnsafeSysctls",
  seccompDefault: "seccompDefault",
};

/** Reads the file that the flags name, if any, and freezes the whole. Throws UsageError naming the field at fault. */
export async function loadConfig(values: FlagValues<typeof flags>, argv: readonly string[]): Promise<Config> {
  const given = givenFlags(flags, argv);
  const merged: Record<string, unknown> = { ...values };
  const file = values.config === "" ? {} : await readConfigFile(values.config);
  if (values.config !== "") {
    for (const [path, key] of Object.entries(FILE_FIELDS)) {
      const value = lookUp(file, path);
      if (value === undefined || given.has(key)) continue;
      merged[key] = fromFile(path, key, value);
    }
  }
  const nodeName = (values.hostnameOverride === "" ? hostname() : values.hostnameOverride).toLowerCase();
  if ((merged.tlsCertFile === "") !== (merged.tlsPrivateKeyFile === "")) {
    throw new UsageError("--tls-cert-file and --tls-private-key-file must be given together");
  }
  if (merged.kubeconfig === "" && merged.bootstrapKubeconfig !== "") {
    throw new UsageError("--bootstrap-kubeconfig needs --kubeconfig, the file to write");
  }
  if (merged.kubeconfig === "" && merged.podManifestPath === "") {
    throw new UsageError("either --kubeconfig or --pod-manifest-path must be given");
  }
  const config = Object.freeze({ ...merged, ...fileOnly(file), ...reservations(merged), nodeName }) as Config;
  validate(config);
  return config;
}

/** Compressible: the share of the processors only, for memory that is over its limit gets processes killed. */
const ENFORCEABLE = [
  "none",
  "pods",
  "system-reserved",
  "kube-reserved",
  "system-reserved-compressible",
  "kube-reserved-compressible",
];

/** Named processors replace what was reserved as an amount. Source: cmd/kubelet/app/server.go */
function reservations(merged: Record<string, unknown>): Partial<Pick<Config, "systemReserved" | "kubeReserved">> {
  const { reservedCpus, systemReserved, kubeReserved } = merged as unknown as Config;
  if (reservedCpus === "") return {};
  try {
    const { cpu: _, ...kube } = kubeReserved;
    return { systemReserved: { ...systemReserved, cpu: String(parseCpuSet(reservedCpus).length) }, kubeReserved: kube };
  } catch (error) {
    throw new UsageError(`--reserved-cpus: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Those that upstream has as stable, and that mean something on a machine of one NUMA node. */
const CPU_POLICY_OPTIONS = ["full-pcpus-only", "strict-cpu-reservation"];

function checkCpuPolicy({ cpuManagerPolicy, cpuManagerPolicyOptions, cpuManagerReconcilePeriodMs }: Config): void {
  for (const [option, value] of Object.entries(cpuManagerPolicyOptions)) {
    const flag = `--cpu-manager-policy-options: ${JSON.stringify(option)}`;
    if (cpuManagerPolicy === "none") throw new UsageError(`${flag}: the policy "none" has no options`);
    if (!CPU_POLICY_OPTIONS.includes(option))
      throw new UsageError(`${flag} is none of ${CPU_POLICY_OPTIONS.join(", ")}`);
    if (value !== "true" && value !== "false") throw new UsageError(`${flag} must be true or false`);
  }
  if (cpuManagerReconcilePeriodMs <= 0)
    throw new UsageError("--cpu-manager-reconcile-period must be greater than zero");
}

/** What depends on more than one value. Throws UsageError. */
function validate(config: Config): void {
  const wrongSysctl = checkUnsafeSysctls(config.allowedUnsafeSysctls);
  if (wrongSysctl !== undefined) throw new UsageError(`--allowed-unsafe-sysctls: ${wrongSysctl}`);
  if (config.imageGcLowThreshold >= config.imageGcHighThreshold) {
    throw new UsageError(
      `--image-gc-high-threshold (${config.imageGcHighThreshold}) must be greater than --image-gc-low-threshold (${config.imageGcLowThreshold})`,
    );
  }
  if (config.maximumImageAgeMs !== 0 && config.maximumImageAgeMs <= config.minimumImageTtlDurationMs) {
    throw new UsageError("imageMaximumGCAge must be greater than imageMinimumGCAge, or 0");
  }
  const keys = config.enforceNodeAllocatable;
  const wrong = keys.find((key) => !ENFORCEABLE.includes(key));
  if (wrong !== undefined) {
    throw new UsageError(`--enforce-node-allocatable: ${JSON.stringify(wrong)} is none of ${ENFORCEABLE.join(", ")}`);
  }
  if (keys.includes("none") && keys.length > 1) throw new UsageError('--enforce-node-allocatable: "none" stands alone');
  for (const [key, group] of [
    ["system-reserved", config.systemReservedCgroup],
    ["kube-reserved", config.kubeReservedCgroup],
  ] as const) {
    const named = keys.filter((k) => k === key || k === `${key}-compressible`);
    if (named.length > 0 && group === "") {
      throw new UsageError(`--enforce-node-allocatable=${named[0]} needs --${key}-cgroup`);
    }
    if (named.length > 1) throw new UsageError(`--enforce-node-allocatable: ${named.join(" and ")} exclude each other`);
  }
  checkCpuPolicy(config);
  evictionThresholds(config);
  const labels = labelComplaint(config.nodeLabels);
  if (labels !== undefined) throw new UsageError(labels);
  try {
    for (const text of config.registerWithTaints) parseTaint(text);
  } catch (error) {
    throw new UsageError(`--register-with-taints: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Throws UsageError naming the field at fault. */
export function evictionThresholds(config: Config): Threshold[] {
  const hard = config.mergeDefaultEvictionSettings ? { ...DEFAULT_HARD, ...config.evictionHard } : config.evictionHard;
  try {
    return parseThresholds(
      {
        hard,
        soft: config.evictionSoft,
        softGracePeriod: config.evictionSoftGracePeriod,
        minimumReclaim: config.evictionMinimumReclaim,
      },
      config.enforceNodeAllocatable.includes("pods"),
    );
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function readConfigFile(path: string): Promise<FileValues> {
  const file = parseYaml(await readFile(path, "utf8")) as FileValues | null;
  if (file?.kind !== "KubeletConfiguration") throw new UsageError(`${path}: kind must be KubeletConfiguration`);
  return file;
}

function lookUp(file: FileValues, path: string): unknown {
  return path.split(".").reduce<unknown>((value, part) => (value as FileValues | undefined)?.[part], file);
}

function fromFile(path: string, key: keyof typeof flags, value: unknown): unknown {
  const fallback = flags[key].fallback();
  try {
    if (key.endsWith("Ms")) return parseGoDurationMs(String(value));
    if (key === "registerWithTaints" && Array.isArray(value)) return value.map(taintText);
    if (Array.isArray(fallback) && !Array.isArray(value)) throw new Error("must be a list");
    if (!Array.isArray(fallback) && typeof value !== typeof fallback) throw new Error(`must be a ${typeof fallback}`);
    return value;
  } catch (error) {
    throw new UsageError(`config file field ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
