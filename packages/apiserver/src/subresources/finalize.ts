/**
 * PUT namespaces/NAME/finalize: the namespace controller takes its name from spec.finalizers, and with the last one the
 * namespace goes.
 * Source: k8s.io/kubernetes/pkg/registry/core/namespace
 */
import { core } from "@knarr/api/generated/resources.ts";
import type { Namespace } from "@knarr/api/generated/types/core-v1.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { representationFor } from "../http/media-type.ts";
import { representBytes } from "../http/represent.ts";
import { sendBytes } from "../http/respond.ts";
import { decodeBody } from "../verbs/decode.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { mutateObject } from "../verbs/mutate.ts";
import { parseWriteOptions } from "../verbs/write-options.ts";

export async function finalizeNamespace(request: ResourceRequest): Promise<void> {
  const { context, env } = request;
  const { dryRun } = parseWriteOptions(context.query, "UpdateOptions");
  const wanted = decodeBody(core.namespaces, await readBody(context), context.header("content-type")) as Namespace;
  const version = wanted.metadata?.resourceVersion;
  const finalizers = wanted.spec?.finalizers ?? [];
  const change = (namespace: Namespace): "write" | "remove" => {
    if (version !== undefined && version !== "" && version !== namespace.metadata?.resourceVersion) {
      throw statusErrors.staleVersion({ group: "", resource: "namespaces" }, request.name);
    }
    const { finalizers: _old, ...spec } = namespace.spec ?? {};
    namespace.spec = finalizers.length === 0 ? spec : { ...spec, finalizers };
    const gone =
      namespace.metadata?.deletionTimestamp !== undefined &&
      finalizers.length === 0 &&
      (namespace.metadata.finalizers?.length ?? 0) === 0;
    return gone ? "remove" : "write";
  };
  const namespaces = env.resources.of(core.namespaces as never);
  const at = { namespace: "", name: request.name };
  const result = await mutateObject(namespaces, at, change as never, { dryRun, signal: context.signal });
  const { body, contentType } = representBytes(result.object.bytes, representationFor(context));
  await sendBytes(context, 200, body, { contentType });
}
