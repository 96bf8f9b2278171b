/** PUT of an object or of its status: replaces it, if nobody changed it since the version that the client names. */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import { readBody } from "../http/body.ts";
import { decodeObject } from "./decode.ts";
import type { ResourceRequest } from "./environment.ts";
import { onceThenAgain } from "./object-codec.ts";
import { checkVersions, warn } from "./pipeline.ts";
import { sendWritten } from "./send-written.ts";
import { changeObject } from "./write.ts";
import { managerOf, parseWriteOptions } from "./write-options.ts";

export async function update(request: ResourceRequest): Promise<void> {
  const { context, resource, subresource } = request;
  const { descriptor } = resource;
  const options = parseWriteOptions(context.query, "UpdateOptions");
  const body = await readBody(context);
  const type = context.header("content-type");
  const decode = () => decodeObject(descriptor, body, type, options.fieldValidation);
  const decoded = decode();
  for (const text of decoded.warnings) warn(request, text);
  const manager = managerOf(options, context.header("user-agent"));
  const sent = onceThenAgain(decoded.object, () => decode().object);
  const result = await changeObject(
    request,
    (old) => {
      const object = sent();
      if (object.metadata.name !== undefined && object.metadata.name !== "" && object.metadata.name !== request.name) {
        throw statusErrors.badRequest(
          `the name of the object (${object.metadata.name}) does not match the name on the URL (${request.name})`,
        );
      }
      checkVersions(request, object, old);
      return { object };
    },
    {
      dryRun: options.dryRun,
      manager,
      ...(descriptor.allowCreateOnUpdate && subresource === ""
        ? {
            makeNew: () => {
              const object = sent();
              delete object.metadata.resourceVersion;
              return { object };
            },
          }
        : {}),
    },
  );
  await sendWritten(request, result.outcome === "created" ? 201 : 200, result);
}
