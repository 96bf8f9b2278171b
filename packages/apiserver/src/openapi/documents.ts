/** The OpenAPI documents as values: one of all groups (v2), one for each version of a group (v3). Pure. */
import type { ServedGroup, ServedVersion } from "../discovery/groups.ts";
import { SERVER_VERSION } from "../server-version.ts";
import { operationId, tagOf } from "./operation-names.ts";
import { PathBuilder } from "./paths.ts";
import { type Json, SchemaSet, sorted } from "./schemas.ts";

const info = { title: "Kubernetes", version: SERVER_VERSION.gitVersion };

/** What a version of a group serves. */
export function addVersion(builder: PathBuilder, served: ServedVersion): void {
  for (const descriptor of served.descriptors) builder.add(descriptor);
  builder.addDiscovery(`/${pathOf(served)}/`, {
    id: operationId("get", served, "APIResources"),
    tag: tagOf(served.group, served.version),
    result: "APIResourceList",
  });
}

export function documentV3(add: (builder: PathBuilder) => void): Json {
  const schemas = new SchemaSet(3);
  const builder = new PathBuilder(schemas);
  add(builder);
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

/** Documents about the server, not its objects: what each is called in the index of v3, and how it gets there. */
export const SERVER_DOCUMENTS: Readonly<Record<string, (builder: PathBuilder) => void>> = {
  ".well-known/openid-configuration": (builder) =>
    builder.addDocument("/.well-known/openid-configuration/", {
      id: "getServiceAccountIssuerOpenIDConfiguration",
      tag: "WellKnown",
      description: "Tells who issues the tokens of service accounts, and where the keys are.",
      result: { type: "string" },
      mediaTypes: ["application/json"],
    }),
  "openid/v1/jwks": (builder) =>
    builder.addDocument("/openid/v1/jwks/", {
      id: "getServiceAccountIssuerOpenIDKeyset",
      tag: "openid",
      description: "The keys that tokens of service accounts are checked with.",
      result: { type: "string" },
      mediaTypes: ["application/jwk-set+json"],
    }),
  version: (builder) =>
    builder.addDocument("/version/", {
      id: "getCodeVersion",
      tag: "version",
      description: "Tells the version of the server.",
      result: builder.versionInfo(),
      mediaTypes: ["application/json"],
    }),
  api: (builder) => builder.addDiscovery("/api/", { id: "getCoreAPIVersions", tag: tagOf(""), result: "APIVersions" }),
  apis: (builder) => builder.addDiscovery("/apis/", { id: "getAPIVersions", tag: "apis", result: "APIGroupList" }),
};

/** "apis/apps": which versions a group has. */
export function addGroup(builder: PathBuilder, group: string): void {
  const id = operationId("get", { group }, "APIGroup");
  builder.addDiscovery(`/apis/${group}/`, { id, tag: tagOf(group), result: "APIGroup" });
}

export function documentV2(groups: readonly ServedGroup[]): Json {
  const schemas = new SchemaSet(2);
  const builder = new PathBuilder(schemas);
  for (const { group, versions } of groups) {
    if (group !== "") addGroup(builder, group);
    for (const served of versions) addVersion(builder, served);
  }
  for (const add of Object.values(SERVER_DOCUMENTS)) add(builder);
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
