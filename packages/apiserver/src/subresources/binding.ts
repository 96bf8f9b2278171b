/**
 * Assigns a pod to a node, once.
 * Source: k8s.io/kubernetes/pkg/registry/core/pod/storage (BindingREST, assignPod)
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Binding, Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { readBody } from "../http/body.ts";
import { decodeBody } from "../verbs/decode.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { mutateObject } from "../verbs/mutate.ts";
import { attributesFor, invalidObjectText, newScope } from "../verbs/pipeline.ts";
import { parseWriteOptions } from "../verbs/write-options.ts";
import { sendSuccess } from "./success.ts";

const PODS = { group: "", resource: "pods" };

/** POST pods/NAME/binding */
export async function bindPod(request: ResourceRequest): Promise<void> {
  const binding = await readBinding(request);
  const named = binding.metadata?.name;
  if (named !== undefined && named !== "" && named !== request.name) {
    throw statusErrors.badRequest("name in URL does not match name in Binding object");
  }
  await bind(request, request.name, binding);
}

/** POST bindings: the pod is the one that the Binding is named after. */
export async function createBinding(request: ResourceRequest): Promise<void> {
  const binding = await readBinding(request);
  await bind(request, binding.metadata?.name ?? "", binding);
}

async function readBinding(request: ResourceRequest): Promise<Binding> {
  const { context } = request;
  const body = await readBody(context);
  return decodeBody(core.bindings, body, context.header("content-type")) as Binding;
}

async function bind(request: ResourceRequest, podName: string, binding: Binding): Promise<void> {
  const { env, context } = request;
  const { dryRun } = parseWriteOptions(context.query, "CreateOptions");
  const { target } = binding;
  if (target?.kind !== undefined && target.kind !== "" && target.kind !== "Node" && target.kind !== "Minion") {
    throw statusErrors.invalid("", "Binding", podName, [
      {
        type: "FieldValueNotSupported",
        field: "target.kind",
        message: `Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`,
      },
    ]);
  }
  if (target?.name === undefined || target.name === "") {
    throw statusErrors.invalid("", "Binding", podName, [
      { type: "FieldValueRequired", field: "target.name", message: "Required value" },
    ]);
  }
  const scope = newScope(request, dryRun);
  const attributes = attributesFor(request, "CREATE", scope, binding as KubeObject, undefined);
  await env.admission.admit(attributes);
  await env.admission.validate(attributes);
  const nowMs = env.clock.now();
  const at = { namespace: request.namespace, name: podName };
  const change = (pod: Pod) => assign(pod, binding, target.name ?? "", nowMs);
  await mutateObject(env.resources.of(core.pods as never), at, change as never, { dryRun, signal: context.signal });
  await sendSuccess(request);
}

function assign(pod: Pod, binding: Binding, node: string, nowMs: number): "write" {
  const name = pod.metadata?.name ?? "";
  const refuse = (why: string) => statusErrors.conflict({ group: "", resource: "pods/binding" }, name, why);
  const uid = binding.metadata?.uid;
  if (uid !== undefined && uid !== "" && uid !== pod.metadata?.uid) {
    throw statusErrors.conflict(
      PODS,
      name,
      invalidObjectText(
        `/registry/pods/${pod.metadata?.namespace}/${name}`,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata?.uid}`,
      ),
    );
  }
  const version = binding.metadata?.resourceVersion;
  if (version !== undefined && version !== "" && version !== pod.metadata?.resourceVersion) {
    throw statusErrors.staleVersion(PODS, name);
  }
  if (pod.metadata?.deletionTimestamp !== undefined) {
    throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  }
  const spec = pod.spec;
  if (spec === undefined) throw refuse(`pod ${name} has no spec`);
  if (spec.nodeName !== undefined && spec.nodeName !== "") {
    throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`);
  }
  if ((spec.schedulingGates?.length ?? 0) > 0) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  spec.nodeName = node;
  // Admission may have put labels on the binding (PodTopologyLabels); what the pod says itself stays.
  const labels = binding.metadata?.labels;
  if (labels !== undefined) pod.metadata = { ...pod.metadata, labels: { ...labels, ...pod.metadata?.labels } };
  const annotations = binding.metadata?.annotations;
  if (annotations !== undefined)
    pod.metadata = { ...pod.metadata, annotations: { ...pod.metadata?.annotations, ...annotations } };
  markScheduled(pod, nowMs);
  return "write";
}

function markScheduled(pod: Pod, nowMs: number): void {
  const conditions = pod.status?.conditions ?? [];
  const known = conditions.find((c) => c.type === "PodScheduled");
  const generation = pod.metadata?.generation;
  const condition = {
    type: "PodScheduled",
    status: "True",
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastProbeTime: null as unknown as string,
    lastTransitionTime:
      known?.status === "True" ? (known.lastTransitionTime ?? rfc3339Seconds(nowMs)) : rfc3339Seconds(nowMs),
  };
  pod.status = {
    ...pod.status,
    conditions: known === undefined ? [...conditions, condition] : conditions.map((c) => (c === known ? condition : c)),
  };
}
