/** What handlers may use; one per server. And what one request is, once its resource is known. */
import type { Clock } from "@knarr/daemon/clock.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { AdmissionChain } from "../admission/chain.ts";
import type { ObjectLookup } from "../admission/plugin.ts";
import type { UserInfo } from "../authn/types.ts";
import type { Authorizer } from "../authz/types.ts";
import type { Config } from "../config.ts";
import type { RequestContext } from "../http/request-context.ts";
import type { ServerMetrics } from "../metrics.ts";
import type { KubeletClient } from "../proxy/kubelet.ts";
import type { Resource, ResourceIndex } from "../registry/resource.ts";
import type { ResourceMetrics } from "../resource-metrics/resource-metrics.ts";
import type { Security } from "../security.ts";

export interface ApiEnvironment {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly resources: ResourceIndex;
  readonly admission: AdmissionChain;
  readonly authorizer: Authorizer;
  readonly security: Security;
  readonly lookup: ObjectLookup;
  /** Asks the store whether it answers; undefined means yes. */
  readonly checkStore: () => Promise<string | undefined>;
  readonly metrics: ServerMetrics;
  readonly kubelets: KubeletClient;
  /** What metrics.k8s.io answers from. */
  readonly resourceMetrics: ResourceMetrics;
  /** Aborts when the server stops: watches and streams end. */
  readonly stopping: AbortSignal;
}

export interface ResourceRequest {
  readonly context: RequestContext;
  readonly env: ApiEnvironment;
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly user: UserInfo;
}
