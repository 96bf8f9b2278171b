/** From path to handler, for everything that passed the filters. */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { type HealthChecks, renderHealth } from "@knarr/daemon/health-server.ts";
import { Discovery } from "../discovery/serve.ts";
import { dumpFlowControl } from "../flowcontrol/dump.ts";
import type { FlowControl } from "../flowcontrol/flow-control.ts";
import type { OpenApi } from "../openapi/serve.ts";
import { SERVER_VERSION } from "../server-version.ts";
import { dispatch } from "../verbs/dispatch.ts";
import type { ApiEnvironment } from "../verbs/environment.ts";
import type { RequestContext } from "./request-context.ts";
import { splitPath } from "./request-info.ts";
import { sendBytes, sendText } from "./respond.ts";
import { answerUnknownPath } from "./unknown-path.ts";

export interface Routes {
  readonly env: ApiEnvironment;
  readonly discovery: Discovery;
  readonly openApi: OpenApi;
  readonly health: { readonly livez: HealthChecks; readonly readyz: HealthChecks; readonly healthz: HealthChecks };
  /** For the debug pages. */
  readonly fairUse: FlowControl | undefined;
  /** The issuer's public documents, by path: /.well-known/openid-configuration, /openid/v1/jwks. */
  readonly issuerDocuments: Readonly<Record<string, () => { body: string; contentType: string }>>;
}

const ROOT_PATHS = [
  "/api",
  "/apis",
  "/healthz",
  "/livez",
  "/metrics",
  "/openapi/v2",
  "/openapi/v3",
  "/readyz",
  "/version",
];

export async function route(context: RequestContext, routes: Routes): Promise<void> {
  const { path } = context;
  const { resources } = routes.env;
  if (path.startsWith("//")) return answerUnknownPath(context, resources);
  if (context.info.isResourceRequest) return dispatch(context, routes.env);
  const parts = splitPath(path);
  if (Discovery.owns(parts)) {
    return (await routes.discovery.serve(context, parts)) ? undefined : answerUnknownPath(context, resources);
  }
  const [root] = parts;
  // What is no API is known by its exact path.
  const isExact = !path.endsWith("/");
  switch (root) {
    case undefined:
    case "index.html":
      if (parts.length > 1) break;
      return sendIndented(context, { paths: rootPaths(routes) });
    case "version":
      if (parts.length > 1) break;
      if (context.method !== "GET") throw statusErrors.pathMethodNotAllowed();
      return sendIndented(context, SERVER_VERSION);
    case "openapi":
      return (await routes.openApi.serve(context, parts)) ? undefined : answerUnknownPath(context, resources);
    case "livez":
    case "readyz":
    case "healthz":
      if (!isExact) break;
      return serveHealth(context, routes, root, parts.slice(1).join("/"));
    case "metrics":
      if (!isExact || parts.length > 1) break;
      return serveMetrics(context, routes);
    case "debug": {
      const dump = routes.fairUse === undefined ? undefined : dumpFlowControl(context.path, routes.fairUse);
      if (dump === undefined) break;
      return sendText(context, 200, dump);
    }
  }
  const document = routes.issuerDocuments[`/${parts.join("/")}`];
  if (document === undefined) return answerUnknownPath(context, resources);
  const { body, contentType } = document();
  await sendBytes(context, 200, body, { contentType, headers: { "cache-control": "public, max-age=3600" } });
}

/** What people read with curl and `kubectl get --raw`. Source: responsewriters.WriteRawJSON */
function sendIndented(context: RequestContext, value: object): Promise<void> {
  return sendBytes(context, 200, JSON.stringify(value, null, 2));
}

/** Every path that leads further, sorted. Source: k8s.io/apiserver/pkg/server/routes/index.go */
function rootPaths({ env, health, issuerDocuments, openApi }: Routes): string[] {
  const paths = new Set([...ROOT_PATHS, ...Object.keys(issuerDocuments), ...openApi.paths]);
  for (const { descriptor } of env.resources.all()) {
    const { group, version } = descriptor.ref;
    paths.add(group === "" ? `/api/${version}` : `/apis/${group}`);
    if (group !== "") paths.add(`/apis/${group}/${version}`);
  }
  for (const [endpoint, checks] of Object.entries(health)) {
    for (const name of Object.keys(checks)) paths.add(`/${endpoint}/${name}`);
  }
  return [...paths].sort();
}

async function serveHealth(
  context: RequestContext,
  routes: Routes,
  endpoint: "livez" | "readyz" | "healthz",
  checkName: string,
): Promise<void> {
  const checks = routes.health[endpoint];
  if (checkName === "") {
    const options = { verbose: context.query.has("verbose"), exclude: context.query.getAll("exclude") };
    const { ok, text } = await renderHealth(endpoint, checks, options);
    return sendText(context, ok ? 200 : 500, text);
  }
  const check = Object.hasOwn(checks, checkName) ? checks[checkName] : undefined;
  if (check === undefined) return answerUnknownPath(context, routes.env.resources);
  const { ok, text } = await renderHealth(endpoint, { [checkName]: check }, { verbose: false });
  await sendText(context, ok ? 200 : 500, ok ? "ok" : `internal server error: ${text}`);
}

async function serveMetrics(context: RequestContext, routes: Routes): Promise<void> {
  const { registry } = routes.env.metrics;
  await sendBytes(context, 200, await registry.metrics(), { contentType: registry.contentType });
}
