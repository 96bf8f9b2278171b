/** Which pod, container and node a stream is about. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Node, Pod } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceRequest } from "../verbs/environment.ts";

const DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container";

export async function findPod(request: ResourceRequest): Promise<Pod> {
  const key = { namespace: request.namespace, name: request.name };
  const pod = await request.env.lookup.get(core.pods, key, { live: true });
  if (pod === undefined) throw statusErrors.notFound({ group: "", resource: "pods" }, request.name);
  return pod;
}

export async function findNode(request: ResourceRequest, name: string): Promise<Node> {
  const node = await request.env.lookup.get(core.nodes, { namespace: "", name });
  if (node === undefined) throw statusErrors.notFound({ group: "", resource: "nodes" }, name);
  return node;
}

/** The container asked for, or the only one. Throws 400 in upstream's words. */
export function chooseContainer(pod: Pod, asked: string): string {
  const spec = pod.spec;
  const containers = (spec?.containers ?? []).map((c) => c.name);
  const init = (spec?.initContainers ?? []).map((c) => c.name);
  const ephemeral = (spec?.ephemeralContainers ?? []).map((c) => c.name);
  const name = pod.metadata?.name ?? "";
  if (asked !== "") {
    if ([...containers, ...init, ...ephemeral].includes(asked)) return asked;
    throw statusErrors.badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const annotated = pod.metadata?.annotations?.[DEFAULT_CONTAINER_ANNOTATION];
  if (annotated !== undefined && containers.includes(annotated)) return annotated;
  const [only] = containers;
  if (containers.length === 1 && only !== undefined) return only;
  if (containers.length === 0) throw statusErrors.badRequest(`a container name must be specified for pod ${name}`);
  const others = init.length > 0 ? ` or one of the init containers: [${init.join(" ")}]` : "";
  throw statusErrors.badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${containers.join(" ")}]${others}`,
  );
}
