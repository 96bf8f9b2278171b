/**
 * Handlers of subresources and virtual resources: "group/resource/subresource" -> verb -> function; "*" as the group and
 * resource means any, as the verb any. /status is the generic handler's own.
 */
import { getNodeMetrics, getPodMetrics, listNodeMetrics, listPodMetrics } from "../resource-metrics/serve.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { approval } from "./approval.ts";
import { bindPod, createBinding } from "./binding.ts";
import { getComponentStatus, listComponentStatuses } from "./component-statuses.ts";
import { evict } from "./eviction.ts";
import { attach, exec, portForward } from "./exec.ts";
import { finalizeNamespace } from "./finalize.ts";
import { podLog } from "./log.ts";
import { ephemeralContainers, resize } from "./pod-parts.ts";
import { proxyNode, proxyPod, proxyService } from "./proxy.ts";
import {
  localSubjectAccessReview,
  selfSubjectAccessReview,
  selfSubjectReview,
  selfSubjectRulesReview,
  subjectAccessReview,
  tokenReview,
} from "./reviews.ts";
import { getScale, patchScale, updateScale } from "./scale.ts";
import { createToken } from "./token.ts";

type Handler = (request: ResourceRequest) => Promise<void>;

export const subresources: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  "/bindings": { create: createBinding },
  "/componentstatuses": { get: getComponentStatus, list: listComponentStatuses },
  "/pods/binding": { create: bindPod },
  "/pods/eviction": { create: evict },
  "/pods/log": { get: podLog },
  "/pods/exec": { "*": exec },
  "/pods/attach": { "*": attach },
  "/pods/portforward": { "*": portForward },
  "/pods/proxy": { "*": proxyPod },
  "/pods/ephemeralcontainers": ephemeralContainers,
  "/pods/resize": resize,
  "/services/proxy": { "*": proxyService },
  "/nodes/proxy": { "*": proxyNode },
  "/namespaces/finalize": { update: finalizeNamespace },
  "/serviceaccounts/token": { create: createToken },
  "certificates.k8s.io/certificatesigningrequests/approval": approval,
  "*/scale": { get: getScale, update: updateScale, patch: patchScale },
  "metrics.k8s.io/nodes": { get: getNodeMetrics, list: listNodeMetrics },
  "metrics.k8s.io/pods": { get: getPodMetrics, list: listPodMetrics },
  "authentication.k8s.io/tokenreviews": { create: tokenReview },
  "authentication.k8s.io/selfsubjectreviews": { create: selfSubjectReview },
  "authorization.k8s.io/subjectaccessreviews": { create: subjectAccessReview },
  "authorization.k8s.io/selfsubjectaccessreviews": { create: selfSubjectAccessReview },
  "authorization.k8s.io/localsubjectaccessreviews": { create: localSubjectAccessReview },
  "authorization.k8s.io/selfsubjectrulesreviews": { create: selfSubjectRulesReview },
};
