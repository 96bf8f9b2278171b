import { defineKind } from "../../define-kind.ts";
import { metrics, type PodMetrics } from "../../metrics-types.ts";
import { subdomainName } from "../../validation/names.ts";
import { usageColumns } from "./usage-columns.ts";

/** Measured by kubelets; never stored. Source: metrics-server pkg/api/pod.go */
export const podMetricsKind = defineKind<PodMetrics>({
  ref: metrics.pods,
  // As in metrics-server's discovery.
  singular: "",
  verbs: ["get", "list"],
  prefix: "",
  nameRule: subdomainName,
  columns: usageColumns(({ containers }) => containers.map(({ usage }) => usage)),
});
