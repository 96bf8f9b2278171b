/** The pods that `POD`, `pod/NAME`, `deployment/NAME`, ... mean: the pod itself, or those that the object's selector finds. */

import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { formatLabelSelector } from "@knarr/apimachinery/label-selector.ts";
import { discover } from "./discovery.ts";
import { CliError, type Connection } from "./verb.ts";

/** Running and ready pods first, as kubectl picks. Throws StatusError when the named object does not exist. */
export async function podsOf(word: string, connection: Connection, signal: AbortSignal): Promise<readonly Pod[]> {
  const { client, namespace } = connection;
  const [type, name] = word.includes("/") ? word.split("/", 2) : ["pods", word];
  if (type === undefined || name === undefined || name === "") throw new CliError(`invalid object name "${word}"`);
  if (["pod", "pods", "po"].includes(type)) return [await client.get(core.pods, { namespace, name }, { signal })];
  const mapper = await discover(client, signal);
  const resource = mapper.resolve(type);
  const owner = (await client.get(resource, { namespace, name }, { signal })) as {
    spec?: { selector?: LabelSelector | Record<string, string> };
  };
  const { selector } = owner.spec ?? {};
  if (selector === undefined) throw new CliError(`cannot get the pods of ${word}: it has no selector`);
  // Services and ReplicationControllers have a plain map of labels.
  const isPlain = !("matchLabels" in selector) && !("matchExpressions" in selector);
  const labelSelector = formatLabelSelector(
    isPlain ? { matchLabels: selector as Record<string, string> } : (selector as LabelSelector),
  );
  const { items } = await client.list(core.pods, { namespace, labelSelector, signal });
  return items.toSorted((a, b) => rank(b) - rank(a));
}

function rank(pod: Pod): number {
  const ready = pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
  return (ready ? 2 : 0) + (pod.status?.phase === "Running" ? 1 : 0);
}
