/**
 * The API server's flags (upstream's names) and the one frozen Config made from them.
 * Source: docs reference/command-line-tools-reference/kube-apiserver.
 */
import { isIP } from "node:net";
import {
  boolFlag,
  durationFlag,
  type FlagValues,
  floatFlag,
  intFlag,
  listFlag,
  mapFlag,
  stringFlag,
  UsageError,
  wholeListFlag,
} from "@knarr/daemon/flags.ts";
import { checkPluginNames } from "./admission/build.ts";
import { AUTHORIZER_TYPES } from "./authz/authorization-configuration.ts";
import { parseSniCertKey, tlsSettings } from "./http/tls-settings.ts";
import { type Cidr, parseCidr } from "./registry/cidr.ts";

export const flags = {
  advertiseAddress: stringFlag({ help: "address that the kubernetes Service's endpoints name", placeholder: "ip" }),
  bindAddress: stringFlag({ help: "address to listen on", default: "0.0.0.0", placeholder: "ip" }),
  securePort: intFlag({ help: "HTTPS port; 0 picks a free one", default: 6443, min: 0, max: 65535 }),
  tlsCertFile: stringFlag({ help: "serving certificate", required: true, placeholder: "path" }),
  tlsPrivateKeyFile: stringFlag({ help: "its key", required: true, placeholder: "path" }),
  tlsMinVersion: stringFlag({ help: "VersionTLS12 or VersionTLS13", default: "VersionTLS12", placeholder: "version" }),
  tlsCipherSuites: listFlag({ help: "cipher suites of TLS 1.2, by Go's names; all good ones when absent" }),
  tlsSniCertKey: wholeListFlag({
    help: "certificate for some server names; repeatable",
    placeholder: "cert,key[:names]",
  }),
  clientCaFile: stringFlag({ help: "CA bundle for client certificates", placeholder: "path" }),
  etcdServers: listFlag({ help: "etcd endpoints", default: ["http://127.0.0.1:2379"], placeholder: "urls" }),
  etcdCafile: stringFlag({ help: "CA of etcd's serving certificates", placeholder: "path" }),
  etcdCertfile: stringFlag({ help: "client certificate for etcd", placeholder: "path" }),
  etcdKeyfile: stringFlag({ help: "its key", placeholder: "path" }),
  etcdPrefix: stringFlag({ help: "prefix of all keys in etcd", default: "/registry", placeholder: "path" }),
  etcdCompactionIntervalMs: durationFlag({ help: "how often etcd's history is compacted; 0 never", default: "5m" }),
  serviceClusterIpRange: stringFlag({ help: "addresses for Services", default: "10.96.0.0/12", placeholder: "cidr" }),
  serviceNodePortRange: stringFlag({ help: "ports for NodePort Services", default: "30000-32767", placeholder: "a-b" }),
  serviceAccountIssuer: listFlag({
    help: "issuers of ServiceAccount tokens: the first signs, tokens of all are accepted",
    default: ["https://kubernetes.default.svc.cluster.local"],
    placeholder: "url",
  }),
  serviceAccountJwksUri: stringFlag({ help: "jwks_uri of the discovery document, if elsewhere", placeholder: "url" }),
  serviceAccountExtendTokenExpiration: boolFlag({
    help: "pods' tokens live a year and say when they should have been read again",
    default: true,
  }),
  serviceAccountKeyFile: listFlag({ help: "public or private keys that verify tokens", placeholder: "path" }),
  serviceAccountSigningKeyFile: stringFlag({ help: "private key that signs tokens", placeholder: "path" }),
  serviceAccountMaxTokenExpirationMs: durationFlag({ help: "longest life of a token; 0 no limit", default: "0" }),
  apiAudiences: listFlag({ help: "audiences of tokens for the API server; the issuer when absent" }),
  anonymousAuth: boolFlag({ help: "let requests without credentials in as system:anonymous", default: true }),
  tokenAuthFile: stringFlag({ help: "static tokens: lines of token,user,uid,groups", placeholder: "path" }),
  enableBootstrapTokenAuth: boolFlag({ help: "accept bootstrap tokens (Secrets in kube-system)", default: false }),
  authenticationConfig: stringFlag({
    help: "AuthenticationConfiguration: JWT issuers, anonymous requests; excludes --oidc-*",
    placeholder: "path",
  }),
  oidcIssuerUrl: stringFlag({ help: "OpenID Connect issuer", placeholder: "url" }),
  oidcClientId: stringFlag({ help: "client id that ID tokens must be meant for" }),
  oidcUsernameClaim: stringFlag({ help: "claim with the user's name", default: "sub" }),
  oidcUsernamePrefix: stringFlag({ help: "put before user names; - for none; the issuer when absent (not for email)" }),
  oidcGroupsClaim: stringFlag({ help: "claim with the user's groups" }),
  oidcGroupsPrefix: stringFlag({ help: "put before group names" }),
  oidcSigningAlgs: listFlag({ help: "algorithms that ID tokens may be signed with", default: ["RS256"] }),
  oidcCaFile: stringFlag({ help: "CA of the OpenID Connect issuer", placeholder: "path" }),
  oidcRequiredClaim: mapFlag({ help: "claims that ID tokens must have" }),
  authenticationTokenWebhookConfigFile: stringFlag({
    help: "kubeconfig of a service that is asked about tokens",
    placeholder: "path",
  }),
  authenticationTokenWebhookVersion: stringFlag({ help: "of its TokenReview: v1 or v1beta1", default: "v1beta1" }),
  authenticationTokenWebhookCacheTtlMs: durationFlag({ help: "how long its answers are remembered", default: "2m" }),
  authorizationMode: listFlag({
    help: "authorizers in order: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny",
    default: ["AlwaysAllow"],
  }),
  authorizationConfig: stringFlag({
    help: "AuthorizationConfiguration: the authorizers in order; excludes --authorization-mode",
    placeholder: "path",
  }),
  authorizationWebhookConfigFile: stringFlag({
    help: "kubeconfig of a service that is asked who may do what",
    placeholder: "path",
  }),
  authorizationWebhookVersion: stringFlag({ help: "of its SubjectAccessReview: v1 or v1beta1", default: "v1beta1" }),
  authorizationWebhookCacheAuthorizedTtlMs: durationFlag({ help: "how long a yes is remembered", default: "5m" }),
  authorizationWebhookCacheUnauthorizedTtlMs: durationFlag({ help: "how long a no is remembered", default: "30s" }),
  enableAdmissionPlugins: listFlag({ help: "admission plugins besides the default ones" }),
  disableAdmissionPlugins: listFlag({ help: "default admission plugins to leave out" }),
  admissionControlConfigFile: stringFlag({
    help: "AdmissionConfiguration with the plugins' own configurations",
    placeholder: "path",
  }),
  requestheaderClientCaFile: stringFlag({ help: "CA of the front proxy's client certificate", placeholder: "path" }),
  requestheaderAllowedNames: listFlag({ help: "common names of front proxies; any when absent" }),
  requestheaderUsernameHeaders: listFlag({ help: "headers with the user's name", default: ["X-Remote-User"] }),
  requestheaderUidHeaders: listFlag({ help: "headers with the user's uid" }),
  requestheaderGroupHeaders: listFlag({ help: "headers with the user's groups", default: ["X-Remote-Group"] }),
  requestheaderExtraHeadersPrefix: listFlag({ help: "prefixes of extra headers", default: ["X-Remote-Extra-"] }),
  kubeletCertificateAuthority: stringFlag({ help: "CA of kubelets' serving certificates", placeholder: "path" }),
  kubeletClientCertificate: stringFlag({ help: "client certificate for kubelets", placeholder: "path" }),
  kubeletClientKey: stringFlag({ help: "its key", placeholder: "path" }),
  // Differs from upstream: InternalIP comes first because host names rarely resolve on a small cluster; as kubeadm sets it.
  kubeletPreferredAddressTypes: listFlag({
    help: "node address types to reach kubelets by, in order",
    default: ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"],
  }),
  auditLogPath: stringFlag({ help: "audit log file, - for standard output; none when absent", placeholder: "path" }),
  auditLogMaxsize: intFlag({ help: "size of the audit log at which it is rotated", default: 100, min: 0, unit: "MiB" }),
  auditLogMaxbackup: intFlag({ help: "rotated audit logs to keep; 0 all", default: 10, min: 0 }),
  auditLogMaxage: intFlag({ help: "days that rotated audit logs are kept; 0 for ever", default: 0, min: 0, unit: "d" }),
  auditLogCompress: boolFlag({ help: "compress rotated audit logs", default: false }),
  auditLogFormat: stringFlag({ help: "json or legacy", default: "json" }),
  auditLogMode: stringFlag({ help: "blocking, batch or blocking-strict", default: "blocking" }),
  auditLogTruncateEnabled: boolFlag({ help: "cut down events that are too large", default: false }),
  auditLogTruncateMaxEventSize: intFlag({
    help: "size above which an event is cut",
    default: 102_400,
    min: 1,
    unit: "B",
  }),
  auditPolicyFile: stringFlag({ help: "what is recorded; metadata of everything when absent", placeholder: "path" }),
  auditWebhookConfigFile: stringFlag({ help: "kubeconfig of a server that gets audit events", placeholder: "path" }),
  auditWebhookMode: stringFlag({ help: "batch, blocking or blocking-strict", default: "batch" }),
  auditWebhookBatchMaxSize: intFlag({ help: "events of one batch", default: 400, min: 1 }),
  auditWebhookBatchMaxWaitMs: durationFlag({ help: "longest wait for a batch to fill", default: "30s" }),
  auditWebhookBatchBufferSize: intFlag({
    help: "events waiting beyond which more are dropped",
    default: 10_000,
    min: 1,
  }),
  auditWebhookBatchThrottleEnable: boolFlag({ help: "limit how often batches are sent", default: true }),
  auditWebhookBatchThrottleQps: floatFlag({ help: "batches per second", default: 10, min: 0.001 }),
  auditWebhookBatchThrottleBurst: intFlag({ help: "batches at once after a quiet time", default: 15, min: 1 }),
  auditWebhookTruncateEnabled: boolFlag({ help: "cut down events and batches that are too large", default: false }),
  auditWebhookTruncateMaxEventSize: intFlag({
    help: "size above which an event is cut",
    default: 102_400,
    min: 1,
    unit: "B",
  }),
  auditWebhookTruncateMaxBatchSize: intFlag({
    help: "size above which a batch becomes two",
    default: 10_485_760,
    min: 1,
    unit: "B",
  }),
  auditWebhookInitialBackoffMs: durationFlag({ help: "pause before a failed batch is sent again", default: "10s" }),
  requestTimeoutMs: durationFlag({ help: "time limit of requests that are not long-running", default: "1m" }),
  minRequestTimeout: intFlag({ help: "shortest life of a watch without timeoutSeconds", default: 1800, unit: "s" }),
  encryptionProviderConfig: stringFlag({
    help: "EncryptionConfiguration: what is encrypted in etcd",
    placeholder: "path",
  }),
  encryptionProviderConfigAutomaticReload: boolFlag({ help: "read it again when it changes", default: false }),
  enablePriorityAndFairness: boolFlag({ help: "queue requests by priority level and flow", default: true }),
  maxRequestsInflight: intFlag({ help: "reading requests at once; a part of all seats", default: 400, min: 0 }),
  maxMutatingRequestsInflight: intFlag({ help: "writing requests at once; the other part", default: 200, min: 0 }),
  eventTtlMs: durationFlag({ help: "how long Events are kept", default: "1h" }),
  defaultNotReadyTolerationSeconds: intFlag({ help: "toleration of not-ready:NoExecute", default: 300, min: 0 }),
  defaultUnreachableTolerationSeconds: intFlag({ help: "toleration of unreachable:NoExecute", default: 300, min: 0 }),
  shutdownGracePeriodMs: durationFlag({
    help: "how long running requests may finish at shutdown",
    name: "shutdown-watch-termination-grace-period",
    default: "10s",
  }),
  runtimeConfig: mapFlag({ help: "accepted for compatibility: every served version is v1" }),
} as const;

/** Upstream flags that change nothing here. */
export const ignoredFlags = [
  "--allow-privileged",
  "--proxy-client-cert-file",
  "--proxy-client-key-file",
  "--enable-aggregator-routing",
  "--storage-backend",
  "--storage-media-type",
  "--endpoint-reconciler-type",
  "--apiserver-count",
  "--enable-garbage-collector",
  "--watch-cache",
  "--default-watch-cache-size",
  "--cert-dir",
  // The log is written once per turn of the event loop, whatever its mode: its batches have nothing to be set.
  "--audit-log-batch-buffer-size",
  "--audit-log-batch-max-size",
  "--audit-log-batch-max-wait",
  "--audit-log-batch-throttle-burst",
  "--audit-log-batch-throttle-enable",
  "--audit-log-batch-throttle-qps",
  "--audit-log-truncate-max-batch-size",
  "--audit-log-version",
  "--audit-webhook-version",
  "--goaway-chance",
  "--livez-grace-period",
  "--shutdown-delay-duration",
  "--external-hostname",
  "--kubelet-timeout",
  "--permit-port-sharing",
  "--kubernetes-service-node-port",
  "--service-account-lookup",
  "--event-qps",
];

export interface Config extends FlagValues<typeof flags> {
  readonly serviceCidr: Cidr;
  readonly nodePorts: { readonly min: number; readonly max: number };
}

/** Checks what single flags cannot; throws UsageError naming the flag. */
export function loadConfig(values: FlagValues<typeof flags>): Config {
  const serviceCidr = parseCidr(values.serviceClusterIpRange.split(",")[0] ?? "");
  if (serviceCidr === undefined) {
    throw usage("service-cluster-ip-range", values.serviceClusterIpRange, 'must be a CIDR such as "10.96.0.0/12"');
  }
  checkTls(values);
  const modes = ["blocking", "batch", "blocking-strict"];
  for (const [name, value, allowed] of [
    ["audit-log-mode", values.auditLogMode, modes],
    ["audit-webhook-mode", values.auditWebhookMode, modes],
    ["audit-log-format", values.auditLogFormat, ["json", "legacy"]],
  ] as const) {
    if (!(allowed as readonly string[]).includes(value))
      throw usage(name, value, `must be one of ${allowed.join(", ")}`);
  }
  if (values.enablePriorityAndFairness && values.maxRequestsInflight + values.maxMutatingRequestsInflight <= 0) {
    throw usage(
      "max-requests-inflight",
      "0",
      "must be positive, with --max-mutating-requests-inflight, for priority and fairness",
    );
  }
  const range = /^(\d+)-(\d+)$/.exec(values.serviceNodePortRange);
  const [min, max] = [Number(range?.[1]), Number(range?.[2])];
  if (range === null || min < 1 || max > 65535 || min > max) {
    throw usage("service-node-port-range", values.serviceNodePortRange, 'must be a range such as "30000-32767"');
  }
  for (const [name, value] of [
    ["advertise-address", values.advertiseAddress],
    ["bind-address", values.bindAddress],
  ] as const) {
    if (value !== "" && isIP(value) === 0) throw usage(name, value, "must be an IP address");
  }
  for (const mode of values.authorizationMode) {
    if (!AUTHORIZER_TYPES.some((type) => type === mode)) {
      throw usage("authorization-mode", mode, `must be among ${AUTHORIZER_TYPES.join(", ")}`);
    }
  }
  checkPluginNames({ enabled: values.enableAdmissionPlugins, disabled: values.disableAdmissionPlugins });
  return Object.freeze({ ...values, serviceCidr, nodePorts: Object.freeze({ min, max }) });
}

function checkTls(values: FlagValues<typeof flags>): void {
  try {
    tlsSettings(values.tlsMinVersion, values.tlsCipherSuites);
    values.tlsSniCertKey.map(parseSniCertKey);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(
      `invalid value for --tls-min-version, --tls-cipher-suites or --tls-sni-cert-key: ${error.message}`,
    );
  }
}

function usage(flag: string, value: string, why: string): UsageError {
  return new UsageError(`invalid value ${JSON.stringify(value)} for --${flag}: ${why}`);
}
