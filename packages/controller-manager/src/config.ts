/** kube-controller-manager's flags, under upstream's names, and the frozen Config that they make. */
import {
  boolFlag,
  durationFlag,
  type FlagValues,
  floatFlag,
  intFlag,
  listFlag,
  stringFlag,
  UsageError,
} from "@knarr/daemon/flags.ts";

const workers = (help: string, fallback: number) => intFlag({ help, default: fallback, min: 1, max: 1000 });

export const flags = {
  kubeconfig: stringFlag({
    help: "file with the API server's address and our credentials",
    placeholder: "path",
    required: true,
  }),
  controllers: listFlag({ help: "controllers to run: '*', 'foo', '-foo'; the first that fits counts", default: ["*"] }),
  bindAddress: stringFlag({ help: "address to serve /healthz and /metrics on", default: "0.0.0.0" }),
  securePort: intFlag({ help: "port to serve HTTPS on; 0 for a free one", default: 10257, min: 0, max: 65535 }),
  tlsCertFile: stringFlag({ help: "serving certificate; self-signed when absent", placeholder: "path" }),
  tlsPrivateKeyFile: stringFlag({ help: "key of --tls-cert-file", placeholder: "path" }),
  clientCaFile: stringFlag({ help: "CA of client certificates that may read /metrics", placeholder: "path" }),
  authorizationAlwaysAllowPaths: listFlag({
    help: "paths that anyone may read",
    default: ["/healthz", "/readyz", "/livez"],
  }),
  leaderElect: boolFlag({ help: "lead only while holding the lease", default: true }),
  leaderElectLeaseDurationMs: durationFlag({ help: "how long others wait for a lost leader", default: "15s" }),
  leaderElectRenewDeadlineMs: durationFlag({ help: "how long the leader tries to renew", default: "10s" }),
  leaderElectRetryPeriodMs: durationFlag({ help: "pause between attempts", default: "2s" }),
  leaderElectResourceName: stringFlag({ help: "the lease's name", default: "kube-controller-manager" }),
  leaderElectResourceNamespace: stringFlag({ help: "the lease's namespace", default: "kube-system" }),
  useServiceAccountCredentials: boolFlag({
    help: "each controller writes as a ServiceAccount of its own",
    default: false,
  }),
  minResyncPeriodMs: durationFlag({ help: "informers tell everything again after this to twice this", default: "12h" }),
  serviceAccountPrivateKeyFile: stringFlag({
    help: "key that signs the lasting tokens of Secrets; without it they get none",
    placeholder: "path",
  }),
  rootCaFile: stringFlag({ help: "CA bundle published as kube-root-ca.crt in every namespace", placeholder: "path" }),
  allocateNodeCidrs: boolFlag({ help: "give every node a range of --cluster-cidr", default: false }),
  clusterCidr: stringFlag({ help: "addresses of pods, one range per family", placeholder: "cidr[,cidr]" }),
  serviceClusterIpRange: stringFlag({
    help: "addresses of Services; kept out of nodes' ranges",
    placeholder: "cidr",
    name: "service-cluster-ip-range",
  }),
  nodeCidrMaskSize: intFlag({ help: "size of a node's IPv4 range", default: 24, min: 8, max: 30 }),
  nodeCidrMaskSizeIpv4: intFlag({
    help: "size of a node's IPv4 range, where --cluster-cidr names both families; 0 for --node-cidr-mask-size",
    default: 0,
    min: 0,
    max: 30,
    name: "node-cidr-mask-size-ipv4",
  }),
  nodeCidrMaskSizeIpv6: intFlag({
    help: "size of a node's IPv6 range",
    default: 64,
    min: 48,
    max: 126,
    name: "node-cidr-mask-size-ipv6",
  }),
  // Differs from upstream: 40 s instead of 50 s, because four missed renewals of 10 s are enough to know.
  nodeMonitorGracePeriodMs: durationFlag({ help: "silence after which a node is Unknown", default: "40s" }),
  nodeMonitorPeriodMs: durationFlag({ help: "how often nodes are judged", default: "5s" }),
  nodeStartupGracePeriodMs: durationFlag({ help: "silence allowed to a new node", default: "1m" }),
  nodeEvictionRate: floatFlag({ help: "nodes per second to evict in a healthy zone", default: 0.1, min: 0 }),
  secondaryNodeEvictionRate: floatFlag({
    help: "nodes per second to evict in a large unhealthy zone",
    default: 0.01,
    min: 0,
  }),
  unhealthyZoneThreshold: floatFlag({
    help: "share of NotReady nodes that makes a zone unhealthy",
    default: 0.55,
    min: 0,
    max: 1,
  }),
  largeClusterSizeThreshold: intFlag({ help: "nodes from which a zone counts as large", default: 50, min: 0 }),
  terminatedPodGcThreshold: intFlag({ help: "ended pods to keep; 0 keeps all", default: 12_500, min: 0 }),
  maxEndpointsPerSlice: intFlag({ help: "endpoints in one EndpointSlice", default: 100, min: 1, max: 1000 }),
  endpointsliceUpdatesBatchPeriodMs: durationFlag({ help: "pod changes within it become one write", default: "0s" }),
  mirroringConcurrentServiceEndpointSyncs: workers("Endpoints mirrored at once", 5),
  mirroringEndpointsliceUpdatesBatchPeriodMs: durationFlag({
    help: "changes of Endpoints within it become one write of the mirrors",
    default: "0s",
  }),
  mirroringMaxEndpointsPerSubset: intFlag({
    help: "addresses mirrored of one subset",
    default: 1000,
    min: 1,
    max: 1000,
  }),
  endpointUpdatesBatchPeriodMs: durationFlag({ help: "pod changes within it become one write", default: "0s" }),
  concurrentDeploymentSyncs: workers("Deployments at once", 5),
  concurrentReplicasetSyncs: workers("ReplicaSets at once", 5),
  concurrentJobSyncs: workers("Jobs at once", 5),
  concurrentTtlAfterFinishedSyncs: workers("ended Jobs at once, for their TTL", 5),
  concurrentCronJobSyncs: workers("CronJobs at once", 5),
  concurrentStatefulsetSyncs: workers("StatefulSets at once", 5),
  concurrentDaemonsetSyncs: workers("DaemonSets at once", 2),
  concurrentRcSyncs: workers("ReplicationControllers at once", 5),
  concurrentHorizontalPodAutoscalerSyncs: workers("HorizontalPodAutoscalers at once", 5),
  horizontalPodAutoscalerSyncPeriodMs: durationFlag({ help: "how often metrics are looked at", default: "15s" }),
  horizontalPodAutoscalerDownscaleStabilizationMs: durationFlag({
    help: "nothing is scaled below what was recommended within it",
    default: "5m",
  }),
  horizontalPodAutoscalerTolerance: floatFlag({
    help: "deviation from a target that changes nothing",
    default: 0.1,
    min: 0,
  }),
  horizontalPodAutoscalerCpuInitializationPeriodMs: durationFlag({
    help: "after a pod's start, when its CPU may say little",
    default: "5m",
  }),
  horizontalPodAutoscalerInitialReadinessDelayMs: durationFlag({
    help: "after a pod's start, when becoming unready counts as starting",
    default: "30s",
  }),
  concurrentServiceEndpointSyncs: workers("Services at once, for EndpointSlices", 5),
  concurrentEndpointSyncs: workers("Services at once, for Endpoints", 5),
  concurrentNamespaceSyncs: workers("namespaces at once", 10),
  concurrentGcSyncs: workers("objects at once, for garbage collection", 20),
  pvclaimbinderSyncPeriodMs: durationFlag({ help: "how often waiting claims are looked at again", default: "15s" }),
  concurrentEphemeralvolumeSyncs: workers("pods with ephemeral volumes at once", 5),
  disableForceDetachOnTimeout: boolFlag({
    help: "never detach a volume that an unhealthy node still has mounted after 6 minutes",
    default: false,
  }),
  clusterSigningCertFile: stringFlag({ help: "authority that signs all kinds of certificates", placeholder: "path" }),
  clusterSigningKeyFile: stringFlag({ help: "key of --cluster-signing-cert-file", placeholder: "path" }),
  clusterSigningDurationMs: durationFlag({ help: "longest life of a signed certificate", default: "8760h" }),
  clusterSigningKubeletServingCertFile: stringFlag({
    help: "authority of kubernetes.io/kubelet-serving",
    placeholder: "path",
  }),
  clusterSigningKubeletServingKeyFile: stringFlag({ help: "its key", placeholder: "path" }),
  clusterSigningKubeletClientCertFile: stringFlag({
    help: "authority of kubernetes.io/kube-apiserver-client-kubelet",
    placeholder: "path",
  }),
  clusterSigningKubeletClientKeyFile: stringFlag({ help: "its key", placeholder: "path" }),
  clusterSigningKubeApiserverClientCertFile: stringFlag({
    help: "authority of kubernetes.io/kube-apiserver-client",
    placeholder: "path",
  }),
  clusterSigningKubeApiserverClientKeyFile: stringFlag({ help: "its key", placeholder: "path" }),
  clusterSigningLegacyUnknownCertFile: stringFlag({
    help: "authority of kubernetes.io/legacy-unknown",
    placeholder: "path",
  }),
  clusterSigningLegacyUnknownKeyFile: stringFlag({ help: "its key", placeholder: "path" }),
  concurrentServiceaccountTokenSyncs: workers("token Secrets at once", 5),
  legacyServiceAccountTokenCleanUpPeriodMs: durationFlag({
    help: "unused for so long, an unasked-for token is marked, and as long again later removed",
    default: "8760h",
  }),
  concurrentResourceQuotaSyncs: workers("quotas at once", 5),
  resourceQuotaSyncPeriodMs: durationFlag({ help: "how often quotas are counted anew", default: "5m" }),
  enableGarbageCollector: boolFlag({ help: "run the garbage collector", default: true }),
  namespaceSyncPeriodMs: durationFlag({ help: "how often a namespace that can't go is tried again", default: "5m" }),
} as const;

export type Config = FlagValues<typeof flags>;

/** Checks what concerns several flags. Throws UsageError. */
export function validateConfig(config: Config): Config {
  if (config.leaderElectRenewDeadlineMs >= config.leaderElectLeaseDurationMs) {
    throw new UsageError("--leader-elect-renew-deadline must be shorter than --leader-elect-lease-duration");
  }
  if (config.leaderElectRetryPeriodMs * 1.2 >= config.leaderElectRenewDeadlineMs) {
    throw new UsageError("--leader-elect-retry-period must be well below --leader-elect-renew-deadline");
  }
  if ((config.tlsCertFile === "") !== (config.tlsPrivateKeyFile === "")) {
    throw new UsageError("--tls-cert-file and --tls-private-key-file must be given together");
  }
  if (config.allocateNodeCidrs && config.clusterCidr === "") {
    throw new UsageError("--allocate-node-cidrs needs --cluster-cidr");
  }
  const families = config.clusterCidr.split(",").map((cidr) => (cidr.includes(":") ? "IPv6" : "IPv4"));
  if (families.length > 2 || new Set(families).size !== families.length) {
    throw new UsageError("--cluster-cidr takes one range, or one of each family");
  }
  validateSigning(config);
  return config;
}

/** Source: kube-controller-manager's csrsigning options: pairs, and either the common pair or those of the signers. */
function validateSigning(config: Config): void {
  const pairs = [
    ["cluster-signing", config.clusterSigningCertFile, config.clusterSigningKeyFile],
    [
      "cluster-signing-kubelet-serving",
      config.clusterSigningKubeletServingCertFile,
      config.clusterSigningKubeletServingKeyFile,
    ],
    [
      "cluster-signing-kubelet-client",
      config.clusterSigningKubeletClientCertFile,
      config.clusterSigningKubeletClientKeyFile,
    ],
    [
      "cluster-signing-kube-apiserver-client",
      config.clusterSigningKubeApiserverClientCertFile,
      config.clusterSigningKubeApiserverClientKeyFile,
    ],
    [
      "cluster-signing-legacy-unknown",
      config.clusterSigningLegacyUnknownCertFile,
      config.clusterSigningLegacyUnknownKeyFile,
    ],
  ] as const;
  const given = pairs.filter(([, cert, key]) => cert !== "" || key !== "");
  for (const [name, cert, key] of given) {
    if (cert === "" || key === "")
      throw new UsageError(`--${name}-cert-file and --${name}-key-file must be given together`);
  }
  if (given.length > 1 && given[0]?.[0] === "cluster-signing") {
    throw new UsageError(
      "--cluster-signing-cert-file and -key-file can't be given with those of single signers at the same time",
    );
  }
}
