/**
 * pods/proxy, services/proxy and nodes/proxy: HTTP to a pod, a ready endpoint of a Service, or a kubelet.
 * Source: k8s.io/kubernetes/pkg/registry/core/{pod,service,node}; k8s.io/apimachinery/pkg/util/proxy
 */
import type { IncomingMessage } from "node:http";
import { core, discovery } from "@knarr/api/generated/resources.ts";
import type { Service } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { type Headers, writeHead } from "../http/respond.ts";
import { type ForwardTarget, forward, type ResponseChange } from "../proxy/forward.ts";
import { isProxyableHost } from "../proxy/proxyable.ts";
import { rewriteLinks } from "../proxy/rewrite-links.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { findNode, findPod } from "./pod-target.ts";

/** "https:web:metrics" -> scheme, name, port. Source: net.SplitSchemeNamePort */
interface ProxyName {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

/** HTML pages larger than this are passed on with their links as they are. */
const MAX_REWRITE_BYTES = 4 * 1024 * 1024;

export async function proxyPod(request: ResourceRequest): Promise<void> {
  const to = splitName(request.name);
  if (redirected(request)) return;
  const pod = await findPod({ ...request, name: to.name });
  const ip = pod.status?.podIP ?? "";
  if (ip === "") throw statusErrors.badRequest("address not allowed");
  const ports = (pod.spec?.containers ?? []).flatMap((c) => c.ports ?? []);
  const named = ports.find((p) => p.name !== undefined && p.name === to.port)?.containerPort;
  const port = to.port === "" ? (ports[0]?.containerPort ?? 80) : (named ?? Number(to.port));
  await pass(request, to, { host: ip, port });
}

export async function proxyService(request: ResourceRequest): Promise<void> {
  const { env, namespace } = request;
  const to = splitName(request.name);
  if (redirected(request)) return;
  const service = await env.lookup.get(core.services, { namespace, name: to.name });
  if (service === undefined) throw statusErrors.notFound({ group: "", resource: "services" }, to.name);
  const backend = await pickBackend(request, service, to);
  if (backend === undefined) {
    throw statusErrors.serviceUnavailable(`no endpoints available for service ${JSON.stringify(request.name)}`, 0);
  }
  await pass(request, to, backend);
}

export async function proxyNode(request: ResourceRequest): Promise<void> {
  const { context, env } = request;
  const to = splitName(request.name);
  if (redirected(request)) return;
  const node = await findNode(request, to.name);
  const target = env.kubelets.target(node, pathOf(request));
  const kubeletPort = String(target.port);
  if (to.port === "" || to.port === kubeletPort) return forward(context, withRewriting(request, target));
  await pass(request, to, { host: target.host, port: Number(to.port) });
}

function splitName(text: string): ProxyName {
  const parts = text.split(":");
  if (parts.length === 1) return { scheme: "", name: text, port: "" };
  if (parts.length === 2) return { scheme: "", name: parts[0] ?? "", port: parts[1] ?? "" };
  const [scheme = "", name = "", port = ""] = parts;
  if (parts.length > 3 || !["", "http", "https"].includes(scheme)) {
    throw statusErrors.badRequest(`invalid proxy request ${JSON.stringify(text)}`);
  }
  return { scheme, name, port };
}

/** `/proxy` without a trailing slash would break relative links. Source: proxy.UpgradeAwareHandler */
function redirected(request: ResourceRequest): boolean {
  const { context } = request;
  const { info } = context;
  if (info.rest !== "" || context.upgrade !== undefined) return false;
  if (context.method !== "GET" && context.method !== "HEAD") return false;
  const query = context.query.toString();
  const headers: Headers = { location: `${context.path}/${query === "" ? "" : `?${query}`}`, "content-length": 0 };
  writeHead(context, 301, headers);
  context.response.end();
  return true;
}

function pathOf(request: ResourceRequest): string {
  const { context } = request;
  const rest = context.info.rest === "" ? "/" : context.info.rest;
  const query = context.query.toString();
  return query === "" ? rest : `${rest}?${query}`;
}

async function pickBackend(
  request: ResourceRequest,
  service: Service,
  to: ProxyName,
): Promise<{ host: string; port: number } | undefined> {
  const ports = service.spec?.ports ?? [];
  const wanted =
    to.port === "" && ports.length === 1
      ? ports[0]
      : ports.find((p) => p.name === to.port || String(p.port) === to.port);
  if (wanted === undefined && to.port === "") {
    throw statusErrors.serviceUnavailable(`no endpoints available for service ${JSON.stringify(request.name)}`, 0);
  }
  if (wanted === undefined)
    throw statusErrors.serviceUnavailable(
      `no service port ${JSON.stringify(to.port)} found for service ${JSON.stringify(to.name)}`,
      0,
    );
  const slices = await request.env.lookup.list(discovery.endpointslices, request.namespace);
  const choices = slices
    .filter((slice) => slice.metadata?.labels?.["kubernetes.io/service-name"] === to.name)
    .flatMap((slice) => {
      const port = slice.ports?.find((p) => (p.name ?? "") === (wanted.name ?? ""))?.port;
      if (port === undefined) return [];
      const ready = (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready !== false);
      return ready.flatMap((endpoint) => endpoint.addresses.map((host) => ({ host, port })));
    });
  return choices[Math.floor(Math.random() * choices.length)];
}

async function pass(request: ResourceRequest, to: ProxyName, at: { host: string; port: number }): Promise<void> {
  if (!Number.isInteger(at.port) || at.port < 1 || at.port > 65535) {
    throw statusErrors.badRequest(`invalid port ${JSON.stringify(to.port)}`);
  }
  if (!(await isProxyableHost(at.host))) throw statusErrors.badRequest("address not allowed");
  const secure = to.scheme === "https";
  const target: ForwardTarget = {
    protocol: secure ? "https:" : "http:",
    host: at.host,
    port: at.port,
    path: pathOf(request),
    // As upstream: backends behind the proxy are not verified, they have no names that we know.
    ...(secure ? { tls: { skipVerify: true } } : {}),
  };
  await forward(request.context, withRewriting(request, target));
}

function withRewriting(request: ResourceRequest, target: ForwardTarget): ForwardTarget {
  const { context } = request;
  const prefix = context.info.rest === "" ? context.path : context.path.slice(0, -context.info.rest.length);
  return {
    ...target,
    headers: { ...target.headers, "accept-encoding": "identity", "x-forwarded-uri": context.path },
    onResponse: (response) => rewrite(response, prefix, target),
  };
}

async function rewrite(
  response: IncomingMessage,
  prefix: string,
  target: ForwardTarget,
): Promise<ResponseChange | undefined> {
  const headers: Headers = {};
  const { location } = response.headers;
  if (location !== undefined) {
    const url = new URL(location, `${target.protocol}//${target.host}:${target.port}${target.path}`);
    const own = url.hostname === target.host && (url.port === "" || Number(url.port) === target.port);
    if (own) headers.location = `${prefix}${url.pathname}${url.search}${url.hash}`;
  }
  const isHtml = (response.headers["content-type"] ?? "").startsWith("text/html");
  const length = Number(response.headers["content-length"] ?? Number.NaN);
  if (!isHtml || !(length <= MAX_REWRITE_BYTES)) return { headers };
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { headers, body: Buffer.from(rewriteLinks(Buffer.concat(chunks).toString(), prefix)) };
}
