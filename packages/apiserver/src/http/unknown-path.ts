/**
 * What a path gets that leads nowhere: a Status below an API that is served, as its clients expect, and plain text everywhere else.
 * Source: k8s.io/apiserver/pkg/server/handler.go (director), k8s.io/apiserver/pkg/util/notfoundhandler
 */
import { statusErrors } from "@knarr/apimachinery/status-error.ts";
import type { ResourceIndex } from "../registry/resource.ts";
import type { RequestContext } from "./request-context.ts";
import { splitPath } from "./request-info.ts";
import { sendText } from "./respond.ts";

/** Sends the text or throws the Status. */
export async function answerUnknownPath(context: RequestContext, resources: ResourceIndex): Promise<void> {
  const [root, group] = splitPath(context.path);
  const isServed =
    root === "api" ||
    root === "version" ||
    (root === "apis" && resources.all().some(({ descriptor }) => descriptor.ref.group === group));
  if (isServed && !context.path.startsWith("//")) throw statusErrors.pathNotFound();
  await sendText(context, 404, "404 page not found\n");
}
