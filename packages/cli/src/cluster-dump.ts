/** `knarr cluster-info dump`: what one needs to look into a cluster's trouble, as JSON, and the pods' logs. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { apps, core } from "@knarr/api/generated/resources.ts";
import { apiVersionOf, objectPath, type ResourceRef } from "@knarr/apimachinery/resource.ts";
import { StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "./connect.ts";
import { renderJson } from "./core/output.ts";
import { splitList } from "./core/strings.ts";
import type { CliContext, Connection, GlobalOptions } from "./verb.ts";

interface DumpOptions extends GlobalOptions {
  readonly outputDirectory?: string;
  readonly namespaces?: string;
  readonly allNamespaces?: boolean;
}

/** In kubectl's order. */
const KINDS: readonly ResourceRef[] = [
  core.events,
  core.replicationcontrollers,
  core.services,
  apps.daemonsets,
  apps.deployments,
  apps.replicasets,
  core.pods,
] as readonly ResourceRef[];

export function registerDump(parent: Command, context: CliContext): void {
  parent
    .command("dump")
    .description("Dump relevant information for debugging and diagnosis")
    .option("--output-directory <path>", "files here instead of standard output; - for standard output")
    .option("--namespaces <names>", "only these namespaces")
    .option("-A, --all-namespaces", "every namespace")
    .option("-o, --output <format>", "json", "json")
    .option("--pod-running-timeout <duration>", "accepted; logs are taken as they are", "20s")
    .action((_options: unknown, self: Command) => dump(self.optsWithGlobals<DumpOptions>(), context));
}

async function dump(options: DumpOptions, context: CliContext): Promise<void> {
  const connection = await connect(options, context);
  const { client } = connection;
  const { signal } = context;
  const write = writer(options.outputDirectory, context);
  await write(
    "nodes.json",
    renderJson({ ...(await client.list(core.nodes, { signal })), kind: "NodeList", apiVersion: "v1" }),
  );
  for (const namespace of await namespacesOf(options, connection, signal)) {
    for (const ref of KINDS) {
      const list = await client.list(ref, { namespace, signal });
      const text = renderJson({ ...list, kind: `${ref.kind}List`, apiVersion: apiVersionOf(ref) });
      await write(join(namespace, `${ref.resource}.json`), text);
    }
    const { items } = await client.list(core.pods, { namespace, signal });
    for (const pod of items) {
      const name = pod.metadata.name ?? "";
      const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
      let text = "";
      for (const container of containers) {
        const title = `container ${container.name} of pod ${namespace}/${name}`;
        text += `==== START logs for ${title} ====\n`;
        text += await logOf(connection, { namespace, name }, container.name, signal);
        text += `==== END logs for ${title} ====\n`;
      }
      await write(join(namespace, name, "logs.txt"), text);
    }
  }
}

async function namespacesOf(
  options: DumpOptions,
  { client, namespace }: Connection,
  signal: AbortSignal,
): Promise<string[]> {
  if (options.allNamespaces === true) {
    return (await client.list(core.namespaces, { signal })).items.map((n) => n.metadata.name ?? "");
  }
  const named = splitList(options.namespaces);
  return named.length > 0 ? named : [...new Set(["kube-system", namespace])];
}

/** The log, or why there is none: a dump of a broken cluster must not end at the first thing that is broken. */
async function logOf(
  { client }: Connection,
  key: { namespace: string; name: string },
  container: string,
  signal: AbortSignal,
): Promise<string> {
  try {
    const { body } = await client.request({
      method: "GET",
      path: objectPath(core.pods, key, "log"),
      query: { container },
      signal,
    });
    return body.toString("utf8");
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return `${error.message}\n`;
  }
}

function writer(directory: string | undefined, context: CliContext): (name: string, text: string) => Promise<void> {
  if (directory === undefined || directory === "-") {
    return async (_name, text) => void context.stdout.write(text);
  }
  return async (name, text) => {
    const path = join(directory, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  };
}
