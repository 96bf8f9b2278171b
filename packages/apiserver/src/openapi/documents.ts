/** The OpenAPI documents as values: one of all groups (v2), one for each version of a group (v3). Pure. */
import type { ServedGroup, ServedVersion } from "../discovery/groups.ts";
import { SERVER_VERSION } from "../server-version.ts";
import { operationId, tagOf } from "./operation-names.ts";
import { PathBuilder } from "./paths.ts";
import { type Json, SchemaSet, sorted } from "./schemas.ts";

const info = { title: "Kubernetes", version: SERVER_VERSION.gitVersion };

export function documentV3(served: ServedVersion): Json {
  const schemas = new SchemaSet(3);
  const builder = new PathBuilder(schemas);
  for (const descriptor of served.descriptors) builder.add(descriptor);
  addResourceList(builder, served);
  return {
    openapi: "3.0.0",
    info,
    paths: sorted(builder.paths),
    components: {
      schemas: sorted(Object.fromEntries(schemas.schemas)),
      securitySchemes: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    },
    security: [{ BearerToken: [] }],
  };
}

function addResourceList(builder: PathBuilder, served: ServedVersion): void {
  builder.addDiscovery(`/${pathOf(served)}/`, {
    id: operationId("get", served, "APIResources"),
    tag: tagOf(served.group, served.version),
    result: "APIResourceList",
  });
}

export function documentV2(groups: readonly ServedGroup[]): Json {
  const schemas = new SchemaSet(2);
  const builder = new PathBuilder(schemas);
  for (const { group, versions } of groups) {
    const isCore = group === "";
    builder.addDiscovery(isCore ? "/api/" : `/apis/${group}/`, {
      id: isCore ? "getCoreAPIVersions" : operationId("get", { group }, "APIGroup"),
      tag: tagOf(group),
      result: isCore ? "APIVersions" : "APIGroup",
    });
    for (const served of versions) {
      for (const descriptor of served.descriptors) builder.add(descriptor);
      addResourceList(builder, served);
    }
  }
  builder.addDiscovery("/apis/", { id: "getAPIVersions", tag: "apis", result: "APIGroupList" });
  return {
    swagger: "2.0",
    info,
    paths: sorted(builder.paths),
    definitions: sorted(Object.fromEntries(schemas.schemas)),
    securityDefinitions: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    security: [{ BearerToken: [] }],
  };
}

/** "api/v1", "apis/apps/v1" */
export function pathOf(served: ServedVersion): string {
  return served.group === "" ? `api/${served.version}` : `apis/${served.group}/${served.version}`;
}
