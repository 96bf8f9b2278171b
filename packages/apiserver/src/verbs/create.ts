/** POST to a collection: 201 with the object as stored. */
import { StatusError, statusErrors } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { type Decoded, decodeObject } from "./decode.ts";
import type { ResourceRequest } from "./environment.ts";
import { onceThenAgain } from "./object-codec.ts";
import { warn } from "./pipeline.ts";
import { sendWritten } from "./send-written.ts";
import { createObject } from "./write.ts";
import { managerOf, parseWriteOptions } from "./write-options.ts";

export async function create(request: ResourceRequest): Promise<void> {
  const { context, resource } = request;
  const options = parseWriteOptions(context.query, "CreateOptions");
  if (request.namespace === "" && resource.descriptor.ref.namespaced) {
    throw statusErrors.methodNotSupported(resource.descriptor.ref, "create");
  }
  const body = await readBody(context);
  const type = context.header("content-type");
  const decode = () => checkNew(decodeObject(resource.descriptor, body, type, options.fieldValidation));
  const decoded = decode();
  for (const text of decoded.warnings) warn(request, text);
  const result = await createObject(
    request,
    onceThenAgain(decoded.object, () => decode().object),
    {
      dryRun: options.dryRun,
      manager: managerOf(options, context.header("user-agent")),
    },
  );
  await sendWritten(request, 201, result);
}

function checkNew(decoded: Decoded): Decoded {
  const { metadata } = decoded.object;
  const { resourceVersion } = metadata;
  if (resourceVersion === undefined || resourceVersion === "" || resourceVersion === "0") {
    delete metadata.resourceVersion;
    return decoded;
  }
  // Source: storage.ErrResourceVersionSetOnCreate: upstream answers 500 without a reason.
  throw new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: "resourceVersion should not be set on objects to be created",
    code: 500,
  });
}
