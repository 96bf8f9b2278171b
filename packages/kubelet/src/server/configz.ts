/**
 * GET /configz: the configuration in effect, as a KubeletConfiguration would say it. Pure.
 * Source: k8s.io/kubelet/config/v1beta1; k8s.io/component-base/configz
 */
import { formatDuration } from "@knarr/apimachinery/duration.ts";
import { type Config, FILE_FIELDS } from "../config.ts";

type Tree = { [key: string]: unknown };

/**
 * What this kubelet does as upstream's does by default and cannot be told to do otherwise. What it does not have at all (a
 * limit on events, say) is not named.
 */
const FIXED: Readonly<Record<string, unknown>> = {
  enableServer: true,
  "authentication.webhook.enabled": true,
  "authentication.webhook.cacheTTL": "2m0s",
  "authorization.webhook.cacheAuthorizedTTL": "5m0s",
  "authorization.webhook.cacheUnauthorizedTTL": "30s",
  cpuManagerPolicy: "none",
  memoryManagerPolicy: "None",
  topologyManagerPolicy: "none",
  topologyManagerScope: "container",
  cpuCFSQuota: true,
  cpuCFSQuotaPeriod: "100ms",
  enableControllerAttachDetach: true,
  containerLogMonitorInterval: "10s",
  configMapAndSecretChangeDetectionStrategy: "Watch",
  failSwapOn: false,
  localStorageCapacityIsolation: true,
  enableProfilingHandler: false,
  enableDebugFlagsHandler: false,
};

export function configz(config: Config): object {
  const root: Tree = {};
  for (const [path, value] of Object.entries(FIXED)) put(root, path, value);
  for (const [path, key] of Object.entries(FILE_FIELDS)) {
    const value = config[key];
    // As Go leaves out what is empty: a list or a text that nobody set is not configured.
    if (isEmpty(value)) continue;
    put(root, path, key.endsWith("Ms") ? duration(value as number) : value);
  }
  // A number that has no effect is none in effect.
  if (config.serializeImagePulls) delete root.maxParallelImagePulls;
  put(root, "crashLoopBackOff.maxContainerRestartPeriod", duration(config.maxContainerRestartPeriodMs));
  put(root, "imagePullCredentialsVerificationPolicy", config.imagePullVerification);
  if (config.preloadedImages.length > 0) put(root, "preloadedImagesVerificationAllowlist", config.preloadedImages);
  put(root, "memorySwap.swapBehavior", config.swapBehavior);
  if (config.shutdownPeriods.length > 0) put(root, "shutdownGracePeriodByPodPriority", config.shutdownPeriods);
  return { kubeletconfig: root };
}

function put(root: Tree, path: string, value: unknown): void {
  const parts = path.split(".");
  const last = parts.pop() ?? path;
  let node = root;
  for (const part of parts) {
    node[part] ??= {};
    node = node[part] as Tree;
  }
  node[last] = value;
}

/** Go's way to print a duration: "1m0s". */
function duration(ms: number): string {
  return formatDuration(BigInt(Math.round(ms * 1e6)));
}

function isEmpty(value: unknown): boolean {
  if (value === "" || value === undefined) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
