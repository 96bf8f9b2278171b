import { nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { ComponentStatus } from "../../generated/types/core-v1.ts";
import { subdomainName } from "../../validation/names.ts";

function healthOf(status: ComponentStatus) {
  return status.conditions?.find((condition) => condition.type === "Healthy");
}

/** Computed when asked for; never stored. */
export const componentStatusKind = defineKind<ComponentStatus>({
  ref: core.componentstatuses,
  shortNames: ["cs"],
  verbs: ["get", "list"],
  prefix: "",
  nameRule: subdomainName,
  warnings: () => ["v1 ComponentStatus is deprecated in v1.19+"],
  columns: [
    nameColumn(),
    textColumn("Status", (status) => {
      const health = healthOf(status);
      return health === undefined ? "Unknown" : health.status === "True" ? "Healthy" : "Unhealthy";
    }),
    textColumn("Message", (status) => healthOf(status)?.message ?? ""),
    textColumn("Error", (status) => healthOf(status)?.error ?? ""),
  ],
});
