/** POST serviceaccounts/NAME/token: a signed token for the ServiceAccount. */
import { authentication } from "@knarr/api/generated/resources.ts";
import type { TokenRequest } from "@knarr/api/generated/types/authentication-v1.ts";
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import { readBody } from "../http/body.ts";
import { sendObject } from "../http/respond.ts";
import { decodeBody } from "../verbs/decode.ts";
import type { ResourceRequest } from "../verbs/environment.ts";
import { attributesFor, newScope, warn } from "../verbs/pipeline.ts";
import { parseWriteOptions } from "../verbs/write-options.ts";

const tokenRequestRef = { ...authentication.tokenreviews, kind: "TokenRequest", resource: "tokenrequests" };

export async function createToken(request: ResourceRequest): Promise<void> {
  const { context, env, namespace, name } = request;
  const { issuer } = env.security;
  if (issuer === undefined) throw statusErrors.pathNotFound();
  const { dryRun } = parseWriteOptions(context.query, "CreateOptions");
  const body = await readBody(context);
  const asked = decodeBody(tokenRequestRef, body, context.header("content-type")) as KubeObject & TokenRequest;
  const attributes = attributesFor(request, "CREATE", newScope(request, dryRun), asked, undefined);
  await env.admission.admit(attributes);
  await env.admission.validate(attributes);
  const issued = await issuer.issue({ namespace, name }, asked);
  for (const text of issued.warnings) warn(request, text);
  const {
    metadata: _metadata,
    kind: _kind,
    apiVersion: _apiVersion,
    ...rest
  } = issued.request as KubeObject & TokenRequest;
  await sendObject(context, 201, {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, creationTimestamp: rfc3339Seconds(env.clock.now()) },
    ...rest,
  });
}
