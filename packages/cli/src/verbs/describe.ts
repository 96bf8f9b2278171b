/** `knarr describe`: an object in full, with its events. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { isNotFound } from "@knarr/apimachinery/status-error.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import type { DiscoveredResource } from "../core/resource-mapper.ts";
import { parseSelection } from "../core/selection.ts";
import { describeObject } from "../describe/index.ts";
import { discover } from "../discovery.ts";
import { findObjects } from "../find-objects.ts";
import { addFileFlags, type FileOptions, onByDefault } from "../flags.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface DescribeOptions extends GlobalOptions, FileOptions {
  readonly selector?: string;
  readonly allNamespaces?: boolean;
  readonly showEvents: boolean;
}

export const describe: Verb = {
  name: "describe",
  register(program, context) {
    const command = program
      .command("describe")
      .description("Show details of a specific resource or group of resources")
      .argument("[type|type/name...]", "resource types and names, or the beginnings of names")
      .option("-l, --selector <query>", "label selector")
      .option("-A, --all-namespaces", "across all namespaces")
      .option("--chunk-size <n>", "objects per request", "500");
    onByDefault(addFileFlags(command), "show-events", "with the events of each object");
    command.action((words: string[], _options: unknown, self: Command) =>
      runDescribe(words, self.optsWithGlobals<DescribeOptions>(), context),
    );
  },
};

async function runDescribe(words: string[], options: DescribeOptions, context: CliContext): Promise<void> {
  const connection = await connect(options, context);
  const { client, namespace: current } = connection;
  const found = await objectsOf(words, options, connection, context);
  const texts: string[] = [];
  // As kubectl: events belong to an object that was named in full.
  const withEvents = options.showEvents && found.length === 1 && found[0]?.guessed !== true;
  for (const { resource, object: item } of found) {
    const object = { ...item, apiVersion: apiVersionOf(resource), kind: resource.kind };
    const about = { client, signal: context.signal, nowMs: systemClock.now() };
    texts.push(await describeObject(resource.group, object, about, withEvents));
  }
  if (texts.length === 0) {
    context.stderr.write(
      options.allNamespaces === true ? "No resources found\n" : `No resources found in ${current} namespace.\n`,
    );
  }
  const guessed = found[0]?.guessed === true ? "\n" : "";
  context.stdout.write(texts.join("\n\n") + guessed);
}

interface Described {
  readonly resource: DiscoveredResource;
  readonly object: KubeObject;
  /** Found by the beginning of its name. */
  readonly guessed?: boolean;
}

async function objectsOf(
  words: readonly string[],
  options: DescribeOptions,
  connection: Connection,
  context: CliContext,
): Promise<Described[]> {
  const { client, namespace: current } = connection;
  if (options.filename !== undefined || options.kustomize !== undefined) {
    return findObjects([], options, connection, context);
  }
  if (words.length === 0) {
    throw new CliError(
      'You must specify the type of resource to describe. Use "knarr api-resources" for a complete list of supported resources.',
    );
  }
  const found: Described[] = [];
  for (const { resource, name } of parseSelection(words, await discover(client, context.signal))) {
    const namespace = resource.namespaced && options.allNamespaces !== true ? current : "";
    const list = async () => {
      const query = { namespace, labelSelector: options.selector, signal: context.signal };
      return (await client.list(resource, query)).items as KubeObject[];
    };
    if (name === undefined) found.push(...(await list()).map((object) => ({ resource, object })));
    else {
      try {
        const object = (await client.get(resource, { namespace, name }, { signal: context.signal })) as KubeObject;
        found.push({ resource, object });
      } catch (error) {
        if (!isNotFound(error)) throw error;
        // As kubectl: what begins with the name will do.
        const near = (await list()).filter((object) => object.metadata.name?.startsWith(name) === true);
        if (near.length === 0) throw error;
        found.push(...near.map((object) => ({ resource, object, guessed: true })));
      }
    }
  }
  return found;
}
