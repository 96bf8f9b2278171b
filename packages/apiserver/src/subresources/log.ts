/**
 * GET pods/NAME/log: the kubelet's containerLogs, streamed.
 * Source: k8s.io/kubernetes/pkg/registry/core/pod/strategy.go (LogLocation); PodLogOptions validation.
 */

import { type FieldError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { parseInt64 } from "../http/parse-int64.ts";
import { isTrue } from "../http/request-info.ts";
import { baseHeaders, sendText } from "../http/respond.ts";
import { acceptWebSocket, sendMessage } from "../http/web-socket.ts";
import { type ForwardTarget, forward, send } from "../proxy/forward.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { chooseContainer, findNode, findPod } from "./pod-target.ts";

const PASSED = [
  "follow",
  "previous",
  "sinceSeconds",
  "sinceTime",
  "timestamps",
  "tailLines",
  "limitBytes",
  "stream",
] as const;
const MAX_ERROR_BYTES = 50_000;

export async function podLog(request: ResourceRequest): Promise<void> {
  const { context, env, namespace, name } = request;
  checkOptions(context.query);
  const pod = await findPod(request);
  const container = chooseContainer(pod, context.query.get("container") ?? "");
  const nodeName = pod.spec?.nodeName ?? "";
  // Not scheduled: there is no log yet, which is not an error.
  if (nodeName === "") return sendText(context, 200, "");
  const query = new URLSearchParams();
  for (const key of PASSED) {
    const value = context.query.get(key);
    if (value !== null) query.set(key, value);
  }
  const path = `/containerLogs/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/${encodeURIComponent(container)}`;
  const node = await findNode(request, nodeName);
  const skipVerify = isTrue(context.query.get("insecureSkipTLSVerifyBackend"));
  const target = {
    ...env.kubelets.target(node, `${path}?${query}`, { skipVerify }),
    headers: { "accept-encoding": "identity" },
  };
  if (context.upgrade !== undefined) return logOverWebSocket(request, target);
  await forward(context, {
    ...target,
    onResponse: async (response) => {
      const code = response.statusCode ?? 502;
      if (code >= 200 && code <= 206) return { headers: baseHeaders(context, "text/plain") };
      throw kubeletError(code, await readText(response), name);
    },
  });
}

/**
 * The log's bytes as messages, then a close: binary.k8s.io (or no protocol) as they are, base64.binary.k8s.io as text.
 * Source: k8s.io/apimachinery wsstream.Reader
 */
async function logOverWebSocket(request: ResourceRequest, target: ForwardTarget): Promise<void> {
  const { context, name } = request;
  const response = await send(context, target);
  const code = response.statusCode ?? 502;
  if (code < 200 || code > 206) throw kubeletError(code, await readText(response), name);
  const socket = await acceptWebSocket(context);
  const asText = socket.protocol.startsWith("base64.");
  for await (const chunk of response) {
    const bytes = chunk as Buffer;
    if (!(await sendMessage(socket, asText ? bytes.toString("base64") : bytes, !asText))) break;
  }
  response.destroy();
  socket.close(1000);
}

function kubeletError(code: number, text: string, name: string): Error {
  if (code === 400) return statusErrors.badRequest(text.trim());
  if (code === 404) {
    const error = statusErrors.notFound({ group: "", resource: "pods/log" }, name);
    error.status.message = text.trim() === "" ? (error.status.message ?? "") : text.trim();
    return error;
  }
  return statusErrors.internal(text.trim());
}

async function readText(response: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const chunk of response) {
    text += chunk.toString();
    if (text.length > MAX_ERROR_BYTES) break;
  }
  return text;
}

function checkOptions(query: URLSearchParams): void {
  const errors: FieldError[] = [];
  const atLeast = (field: string, minimum: number, why: string) => {
    const text = query.get(field);
    if (text === null || text === "") return;
    if (parseInt64(text) < minimum)
      errors.push({ type: "FieldValueInvalid", field, message: `Invalid value: ${text}: ${why}` });
  };
  atLeast("tailLines", 0, "must be greater than or equal to 0");
  atLeast("limitBytes", 1, "must be greater than 0");
  const seconds = query.get("sinceSeconds");
  const time = query.get("sinceTime");
  if (seconds !== null && seconds !== "" && time !== null && time !== "") {
    errors.push({
      type: "FieldValueForbidden",
      field: "",
      message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
    });
  }
  atLeast("sinceSeconds", 1, "must be greater than 0");
  if (errors.length > 0) throw statusErrors.invalid("", "PodLogOptions", "", errors);
}
