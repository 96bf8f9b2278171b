import { ageColumn, nameColumn, textColumn } from "../../columns.ts";
import { defineKind } from "../../define-kind.ts";
import { core } from "../../generated/resources.ts";
import type { ServiceAccount } from "../../generated/types/core-v1.ts";
import { subdomainName } from "../../validation/names.ts";

/** Source: pkg/registry/core/serviceaccount/strategy.go */
export const serviceAccountKind = defineKind<ServiceAccount>({
  ref: core.serviceaccounts,
  shortNames: ["sa"],
  subresources: [
    { name: "token", kind: "TokenRequest", group: "authentication.k8s.io", version: "v1", verbs: ["create"] },
  ],
  prefix: "/registry/serviceaccounts",
  nameRule: subdomainName,
  columns: [nameColumn(), textColumn("Secrets", (account) => account.secrets?.length ?? 0), ageColumn()],
});
