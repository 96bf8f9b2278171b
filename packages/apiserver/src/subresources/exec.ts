/**
 * exec, attach and port-forward: refused with a Status here, or passed to the kubelet byte for byte.
 * Source: k8s.io/kubernetes/pkg/registry/core/pod/rest/subresources.go
 */
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { isTrue } from "../http/request-info.ts";
import { forward } from "../proxy/forward.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { attributesFor, newScope } from "../verbs/pipeline.ts";
import { chooseContainer, findNode, findPod } from "./pod-target.ts";

export async function exec(request: ResourceRequest): Promise<void> {
  const { query } = request.context;
  const commands = query.getAll("command");
  const pod = await findPod(request);
  if (commands.length === 0 || commands[0] === "") {
    throw statusErrors.badRequest("you must specify at least one command for the container");
  }
  checkStreams(query);
  const params = streamParams(query);
  for (const command of commands) params.append("command", command);
  await stream(request, pod, "exec", params);
}

export async function attach(request: ResourceRequest): Promise<void> {
  const { query } = request.context;
  const pod = await findPod(request);
  checkStreams(query);
  await stream(request, pod, "attach", streamParams(query));
}

export async function portForward(request: ResourceRequest): Promise<void> {
  const { context, env, namespace, name } = request;
  const pod = await findPod(request);
  await checkAdmission(request);
  const nodeName = assignedNode(pod);
  const params = new URLSearchParams();
  const ports = context.query.getAll("ports");
  if (ports.length > 0) params.set("port", ports.join(","));
  requireUpgrade(request);
  const path = `/portForward/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const node = await findNode(request, nodeName);
  await forward(context, env.kubelets.target(node, withQuery(path, params)));
}

async function stream(
  request: ResourceRequest,
  pod: Pod,
  kind: "exec" | "attach",
  params: URLSearchParams,
): Promise<void> {
  const { context, env, namespace, name } = request;
  const container = chooseContainer(pod, context.query.get("container") ?? "");
  await checkAdmission(request);
  const nodeName = assignedNode(pod);
  requireUpgrade(request);
  const path = `/${kind}/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/${encodeURIComponent(container)}`;
  const node = await findNode(request, nodeName);
  await forward(context, env.kubelets.target(node, withQuery(path, params)));
}

async function checkAdmission(request: ResourceRequest): Promise<void> {
  const attributes = attributesFor(request, "CONNECT", newScope(request, false), undefined, undefined);
  await request.env.admission.admit(attributes);
  await request.env.admission.validate(attributes);
}

function assignedNode(pod: Pod): string {
  const nodeName = pod.spec?.nodeName ?? "";
  if (nodeName === "") throw statusErrors.badRequest(`pod ${pod.metadata?.name} does not have a host assigned`);
  return nodeName;
}

function requireUpgrade(request: ResourceRequest): void {
  if (request.context.upgrade === undefined) throw statusErrors.badRequest("Upgrade request required");
}

function checkStreams(query: URLSearchParams): void {
  const on = (name: string) => query.has(name) && isTrue(query.get(name));
  if (on("stdin") || on("stdout") || on("stderr")) return;
  throw statusErrors.badRequest("you must specify at least 1 of stdin, stdout, stderr");
}

/** The kubelet's own names for the streams. Source: k8s.io/api/core/v1 ExecStdinParam and its siblings. */
function streamParams(query: URLSearchParams): URLSearchParams {
  const params = new URLSearchParams();
  for (const [asked, sent] of [
    ["stdin", "input"],
    ["stdout", "output"],
    ["stderr", "error"],
    ["tty", "tty"],
  ] as const) {
    if (query.has(asked) && isTrue(query.get(asked))) params.set(sent, "1");
  }
  return params;
}

function withQuery(path: string, params: URLSearchParams): string {
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}
