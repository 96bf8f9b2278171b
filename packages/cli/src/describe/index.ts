/** Which kinds have a description of their own; every other kind gets the generic one. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import type { Client } from "@knarr/client/client.ts";
import { describeDeployment } from "./deployment.ts";
import { describeGeneric } from "./generic.ts";
import { describeNode } from "./node.ts";
import { describePod } from "./pod.ts";
import { describeService } from "./service.ts";

export interface DescribeContext {
  readonly client: Client;
  readonly signal: AbortSignal;
  readonly nowMs: number;
}
type Describer = (object: KubeObject, context: DescribeContext) => string | Promise<string>;

/** By `KIND.group`. Each gets objects of its kind only. */
const describers: Readonly<Record<string, Describer>> = {
  "Pod.": describePod as Describer,
  "Service.": describeService as Describer,
  "Node.": describeNode as Describer,
  "Deployment.apps": describeDeployment as Describer,
};

/** The object as text, without its events. */
export async function describeObject(group: string, object: KubeObject, context: DescribeContext): Promise<string> {
  return (describers[`${object.kind ?? ""}.${group}`] ?? describeGeneric)(object, context);
}
