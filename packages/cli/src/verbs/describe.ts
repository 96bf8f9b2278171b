/** `knarr describe`: an object in full, with its events. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { apiVersionOf } from "@knarr/apimachinery/resource.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { parseSelection } from "../core/selection.ts";
import { eventsOf, renderEvents } from "../describe/events.ts";
import { describeObject } from "../describe/index.ts";
import { discover } from "../discovery.ts";
import type { CliContext, GlobalOptions, Verb } from "../verb.ts";

interface DescribeOptions extends GlobalOptions {
  readonly selector?: string;
  readonly allNamespaces?: boolean;
  readonly showEvents: string | boolean;
}

export const describe: Verb = {
  name: "describe",
  register(program, context) {
    program
      .command("describe")
      .description("Show details of a specific resource or group of resources")
      .argument("<type|type/name...>", "resource types and names")
      .option("-l, --selector <query>", "label selector")
      .option("-A, --all-namespaces", "across all namespaces")
      .option("--show-events [bool]", "with the events of each object", "true")
      .action((words: string[], _options: unknown, command: Command) =>
        runDescribe(words, command.optsWithGlobals<DescribeOptions>(), context),
      );
  },
};

async function runDescribe(words: string[], options: DescribeOptions, context: CliContext): Promise<void> {
  const { client, namespace: current } = await connect(options, context);
  const selections = parseSelection(words, await discover(client, context.signal));
  const texts: string[] = [];
  for (const { resource, name } of selections) {
    const namespace = resource.namespaced && options.allNamespaces !== true ? current : "";
    const objects =
      name === undefined
        ? (await client.list(resource, { namespace, labelSelector: options.selector, signal: context.signal })).items
        : [await client.get(resource, { namespace, name }, { signal: context.signal })];
    for (const item of objects) {
      const object = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...(item as KubeObject) };
      const nowMs = systemClock.now();
      const text = await describeObject(resource.group, object, { client, signal: context.signal, nowMs });
      const events =
        String(options.showEvents) === "false"
          ? ""
          : renderEvents(await eventsOf(client, object, context.signal), nowMs);
      texts.push(text + events);
    }
  }
  if (texts.length === 0) {
    const scope = options.allNamespaces === true ? "" : ` in ${current} namespace.`;
    context.stderr.write(`No resources found${scope}\n`);
  }
  context.stdout.write(texts.join("\n\n"));
}
