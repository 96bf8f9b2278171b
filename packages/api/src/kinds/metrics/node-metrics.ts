import { defineKind } from "../../define-kind.ts";
import { metrics, type NodeMetrics } from "../../metrics-types.ts";
import { subdomainName } from "../../validation/names.ts";
import { usageColumns } from "./usage-columns.ts";

/** Measured by kubelets; never stored. Source: metrics-server pkg/api/node.go */
export const nodeMetricsKind = defineKind<NodeMetrics>({
  ref: metrics.nodes,
  // As in metrics-server's discovery.
  singular: "",
  verbs: ["get", "list"],
  prefix: "",
  nameRule: subdomainName,
  columns: usageColumns(({ usage }) => [usage]),
});
