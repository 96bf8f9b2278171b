/**
 * Services: their number, the node ports they will take, the load balancers.
 * Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core/services.go
 */
import type { Service } from "../generated/types/core-v1.ts";
import type { QuotaEvaluator } from "./evaluator.ts";
import type { ResourceQuantities } from "./resource-lists.ts";

const NAMES = ["count/services", "services", "services.nodeports", "services.loadbalancers"];

export const serviceEvaluator: QuotaEvaluator = {
  group: "",
  resource: "services",
  matchingResources: (names) => names.filter((name) => NAMES.includes(name)),
  matchesScope: () => false,
  usage: (object) => serviceUsage(object as Service),
  // Updates too: a Service may change its type.
  handles: ({ operation, subresource }) => subresource === "" && (operation === "CREATE" || operation === "UPDATE"),
};

function serviceUsage(service: Service): ResourceQuantities {
  const type = service.spec?.type;
  const ports = service.spec?.ports ?? [];
  let nodePorts = 0;
  if (type === "NodePort") nodePorts = ports.length;
  if (type === "LoadBalancer") {
    // Ports are not allocated yet when a Service is admitted: what counts is what will be.
    const allocates = service.spec?.allocateLoadBalancerNodePorts !== false;
    nodePorts = allocates ? ports.length : ports.filter((port) => (port.nodePort ?? 0) !== 0).length;
  }
  return {
    "count/services": "1",
    services: "1",
    "services.nodeports": String(nodePorts),
    "services.loadbalancers": type === "LoadBalancer" ? "1" : "0",
  };
}
