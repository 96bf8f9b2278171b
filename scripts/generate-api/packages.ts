/** Which Go packages become which generated files. Generally available versions only. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { apiregistrationSource } from "./apiregistration.ts";
import { type GoPackage, parseGoPackage, parseGoSource } from "./parse-go.ts";

export interface ApiPackage {
  /** As type references name it: "core/v1". */
  readonly id: string;
  /** Of the files: "core-v1". */
  readonly file: string;
  /** "" for core, undefined for meta, which is no group. */
  readonly group: string | undefined;
  readonly version: string;
  /** Prefix of its definitions in OpenAPI: "io.k8s.api.core.v1". */
  readonly openApiPrefix: string;
  readonly go: GoPackage;
}

const apiGroups: readonly (readonly [folder: string, group: string, version: string])[] = [
  ["core", "", "v1"],
  ["admissionregistration", "admissionregistration.k8s.io", "v1"],
  ["apps", "apps", "v1"],
  ["authentication", "authentication.k8s.io", "v1"],
  ["authorization", "authorization.k8s.io", "v1"],
  ["autoscaling", "autoscaling", "v1"],
  ["autoscaling", "autoscaling", "v2"],
  ["batch", "batch", "v1"],
  ["certificates", "certificates.k8s.io", "v1"],
  ["coordination", "coordination.k8s.io", "v1"],
  ["discovery", "discovery.k8s.io", "v1"],
  ["events", "events.k8s.io", "v1"],
  ["flowcontrol", "flowcontrol.apiserver.k8s.io", "v1"],
  ["networking", "networking.k8s.io", "v1"],
  ["node", "node.k8s.io", "v1"],
  ["policy", "policy", "v1"],
  ["rbac", "rbac.authorization.k8s.io", "v1"],
  ["resource", "resource.k8s.io", "v1"],
  ["scheduling", "scheduling.k8s.io", "v1"],
  ["storage", "storage.k8s.io", "v1"],
];

/** Reads every package below `source`, the folder that holds k8s.io/. */
export function readPackages(source: string): ApiPackage[] {
  const root = join(source, "k8s.io");
  if (!existsSync(join(root, "api/core/v1/types.go"))) {
    throw new Error(`${source} holds no k8s.io/api: --source must be the folder above k8s.io`);
  }
  const packages: ApiPackage[] = apiGroups.map(([folder, group, version]) => ({
    id: `${folder}/${version}`,
    file: `${folder}-${version}`,
    group,
    version,
    openApiPrefix: `io.k8s.api.${folder}.${version}`,
    go: parseGoPackage(join(root, "api", folder, version)),
  }));
  packages.push({
    id: "meta/v1",
    file: "meta-v1",
    group: undefined,
    version: "v1",
    openApiPrefix: "io.k8s.apimachinery.pkg.apis.meta.v1",
    go: parseGoPackage(join(root, "apimachinery/pkg/apis/meta/v1")),
  });
  packages.push({
    id: "apiextensions/v1",
    file: "apiextensions-v1",
    group: "apiextensions.k8s.io",
    version: "v1",
    openApiPrefix: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    go: parseGoPackage(join(root, "apiextensions-apiserver/pkg/apis/apiextensions/v1")),
  });
  packages.push({
    id: "apiregistration/v1",
    file: "apiregistration-v1",
    group: "apiregistration.k8s.io",
    version: "v1",
    openApiPrefix: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
    go: parseGoSource(apiregistrationSource),
  });
  return packages;
}
