/**
 * componentstatuses: whether etcd, scheduler and controller manager of this host are healthy, asked at the moment.
 * Deprecated upstream since 1.19, and still read by people.
 * Source: k8s.io/kubernetes/pkg/registry/core/componentstatus
 */
import { request } from "node:https";
import type { ComponentStatus } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { representationFor } from "../http/media-type.ts";
import { sendObject } from "../http/respond.ts";
import { columnDefinitions, table, tableRow } from "../tables/table.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { warn } from "../verbs/pipeline.ts";

const PORTS: Readonly<Record<string, number>> = { "controller-manager": 10257, scheduler: 10259 };
const TIMEOUT_MS = 2_000;
const NAMES = ["controller-manager", "etcd-0", "scheduler"];

export async function getComponentStatus(request: ResourceRequest): Promise<void> {
  if (!NAMES.includes(request.name))
    throw statusErrors.notFound({ group: "", resource: "componentstatuses" }, request.name);
  await send(request, [await componentStatus(request, request.name)], false);
}

export async function listComponentStatuses(request: ResourceRequest): Promise<void> {
  await send(request, await Promise.all(NAMES.map((name) => componentStatus(request, name))), true);
}

async function send(request: ResourceRequest, objects: readonly ComponentStatus[], isList: boolean): Promise<void> {
  const { context, resource } = request;
  warn(request, "v1 ComponentStatus is deprecated in v1.19+");
  const representation = representationFor(context, { transforms: ["Table"] });
  if (representation.transform === "Table") {
    const { descriptor } = resource;
    const rows = objects.map((one) => tableRow(descriptor, one as KubeObject, request.env.clock.now(), "Metadata"));
    return sendObject(context, 200, table(columnDefinitions(descriptor), rows, {}, representation));
  }
  const [only] = objects;
  if (!isList && only !== undefined) return sendObject(context, 200, only);
  await sendObject(context, 200, { kind: "ComponentStatusList", apiVersion: "v1", metadata: {}, items: objects });
}

async function componentStatus(request: ResourceRequest, name: string): Promise<ComponentStatus> {
  const port = Object.hasOwn(PORTS, name) ? PORTS[name] : undefined;
  const failure = port === undefined ? await request.env.checkStore() : await askHealth(port);
  const condition =
    failure === undefined
      ? { type: "Healthy", status: "True", message: "ok" }
      : { type: "Healthy", status: "False", message: failure };
  return { kind: "ComponentStatus", apiVersion: "v1", metadata: { name }, conditions: [condition] };
}

/** Undefined when healthy. The answer decides nothing, so the certificate is not checked, as upstream. */
function askHealth(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const outgoing = request(
      { host: "127.0.0.1", port, path: "/healthz", rejectUnauthorized: false, agent: false, timeout: TIMEOUT_MS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200 ? undefined : `unexpected status ${response.statusCode}`);
      },
    );
    outgoing.once("timeout", () => outgoing.destroy(new Error("timeout")));
    outgoing.once("error", (error) => resolve(`Get "https://127.0.0.1:${port}/healthz": ${error.message}`));
    outgoing.end();
  });
}
